"""MySQL 8 and MariaDB 10.11 and newer."""
