-- Flyway 12.4.0, postgresql: a schema of its own making. Made by record.py.
CREATE TABLE app.flyway_schema_history (
    installed_rank integer NOT NULL,
    version character varying(50),
    description character varying(200) NOT NULL,
    type character varying(20) NOT NULL,
    script character varying(1000) NOT NULL,
    checksum integer,
    installed_by character varying(100) NOT NULL,
    installed_on timestamp without time zone DEFAULT now() NOT NULL,
    execution_time integer NOT NULL,
    success boolean NOT NULL
);
INSERT INTO app.flyway_schema_history VALUES (0, NULL, '<< Flyway Schema Creation >>', 'SCHEMA', '"app"', NULL, 'recorder', '2026-11-24 13:30:51.613864', 0, true);
INSERT INTO app.flyway_schema_history VALUES (1, '1', 'create users', 'SQL', 'V1__create_users.sql', 336540139, 'recorder', '2026-11-24 13:30:51.755781', 18, true);
INSERT INTO app.flyway_schema_history VALUES (2, '2', 'create orders', 'SQL', 'V2__create_orders.sql', -1726728712, 'recorder', '2026-11-24 13:30:51.8443', 5, true);
INSERT INTO app.flyway_schema_history VALUES (3, '2.1', 'add name', 'SQL', 'V2.1__add_name.sql', 1458500936, 'recorder', '2026-11-24 13:30:51.870455', 10, true);
INSERT INTO app.flyway_schema_history VALUES (4, NULL, 'names', 'SQL', 'R__names.sql', 1235917246, 'recorder', '2026-11-24 13:30:51.896503', 12, true);
ALTER TABLE ONLY app.flyway_schema_history
    ADD CONSTRAINT flyway_schema_history_pk PRIMARY KEY (installed_rank);
CREATE INDEX flyway_schema_history_s_idx ON app.flyway_schema_history USING btree (success);
