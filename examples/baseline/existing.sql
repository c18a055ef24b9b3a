-- What is in the database already, made by hand or by another tool years ago.
CREATE TABLE customers (
    id bigint PRIMARY KEY,
    name text NOT NULL
);
