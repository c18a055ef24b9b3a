-- Flyway 12.4.0, mariadb: 3 has failed. Made by record.py.
CREATE TABLE `flyway_schema_history` (
  `installed_rank` int(11) NOT NULL,
  `version` varchar(50) DEFAULT NULL,
  `description` varchar(200) NOT NULL,
  `type` varchar(20) NOT NULL,
  `script` varchar(1000) NOT NULL,
  `checksum` int(11) DEFAULT NULL,
  `installed_by` varchar(100) NOT NULL,
  `installed_on` timestamp NOT NULL DEFAULT current_timestamp(),
  `execution_time` int(11) NOT NULL,
  `success` tinyint(1) NOT NULL,
  PRIMARY KEY (`installed_rank`),
  KEY `flyway_schema_history_s_idx` (`success`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci;
INSERT INTO `flyway_schema_history` VALUES (1,'1','create users','SQL','V1__create_users.sql',336540139,'recorder','2026-11-24 13:30:38',24,1);
INSERT INTO `flyway_schema_history` VALUES (2,'2','create orders','SQL','V2__create_orders.sql',-1726728712,'recorder','2026-11-24 13:30:38',37,1);
INSERT INTO `flyway_schema_history` VALUES (3,'2.1','add name','SQL','V2.1__add_name.sql',1458500936,'recorder','2026-11-24 13:30:38',29,1);
INSERT INTO `flyway_schema_history` VALUES (4,'3','fails','SQL','V3__fails.sql',-1101473073,'recorder','2026-11-24 13:30:38',96,0);
