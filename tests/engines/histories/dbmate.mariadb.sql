-- dbmate 2.36.0, mariadb: two files. Made by record.py.
CREATE TABLE `schema_migrations` (
  `version` varchar(128) NOT NULL,
  PRIMARY KEY (`version`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci;
INSERT INTO `schema_migrations` VALUES ('20260101120000');
INSERT INTO `schema_migrations` VALUES ('20260102120000');
