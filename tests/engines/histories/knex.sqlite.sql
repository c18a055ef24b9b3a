-- Knex 3.3.0, sqlite: two files. Made by record.py.
CREATE TABLE `knex_migrations` (`id` integer not null primary key autoincrement, `name` varchar(255), `batch` integer, `migration_time` datetime);
INSERT INTO "knex_migrations" VALUES(1,'20260101120000_create_users.js',1,1795530607317);
INSERT INTO "knex_migrations" VALUES(2,'20260102120000_add_name.js',1,1795530607318);
CREATE TABLE `knex_migrations_lock` (`index` integer not null primary key autoincrement, `is_locked` integer);
INSERT INTO "knex_migrations_lock" VALUES(1,0);
INSERT INTO "sqlite_sequence" VALUES('knex_migrations_lock',1);
INSERT INTO "sqlite_sequence" VALUES('knex_migrations',2);
