-- Active Record 6.1, sqlite: 1, 20260102120000. Made by record.py.
CREATE TABLE "ar_internal_metadata" ("key" varchar NOT NULL PRIMARY KEY, "value" varchar, "created_at" datetime(6) NOT NULL, "updated_at" datetime(6) NOT NULL);
CREATE TABLE "schema_migrations" ("version" varchar NOT NULL PRIMARY KEY);
INSERT INTO "schema_migrations" VALUES('1');
INSERT INTO "schema_migrations" VALUES('20260102120000');
