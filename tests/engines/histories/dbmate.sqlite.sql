-- dbmate 2.36.0, sqlite: two files. Made by record.py.
CREATE TABLE "schema_migrations" (version varchar(128) primary key);
INSERT INTO "schema_migrations" VALUES('20260101120000');
INSERT INTO "schema_migrations" VALUES('20260102120000');
