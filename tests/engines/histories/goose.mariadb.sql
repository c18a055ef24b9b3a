-- goose 3.29.0, mariadb: 1, 2, the third down again. Made by record.py.
CREATE TABLE `goose_db_version` (
  `id` bigint(20) unsigned NOT NULL AUTO_INCREMENT,
  `version_id` bigint(20) NOT NULL,
  `is_applied` tinyint(1) NOT NULL,
  `tstamp` datetime DEFAULT current_timestamp(),
  PRIMARY KEY (`id`)
) ENGINE=InnoDB AUTO_INCREMENT=6 DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci;
INSERT INTO `goose_db_version` VALUES (1,0,1,'2026-11-24 13:31:31');
INSERT INTO `goose_db_version` VALUES (2,1,1,'2026-11-24 13:31:31');
INSERT INTO `goose_db_version` VALUES (3,2,1,'2026-11-24 13:31:31');
