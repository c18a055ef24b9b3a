-- goose 3.29.0, sqlite: 1, 2, the third down again. Made by record.py.
CREATE TABLE goose_db_version (
		id INTEGER PRIMARY KEY AUTOINCREMENT,
		version_id INTEGER NOT NULL,
		is_applied INTEGER NOT NULL,
		tstamp TIMESTAMP DEFAULT (datetime('now'))
	);
INSERT INTO "goose_db_version" VALUES(1,0,1,'2026-11-24 13:31:32');
INSERT INTO "goose_db_version" VALUES(2,1,1,'2026-11-24 13:31:32');
INSERT INTO "goose_db_version" VALUES(3,2,1,'2026-11-24 13:31:32');
INSERT INTO "sqlite_sequence" VALUES('goose_db_version',5);
