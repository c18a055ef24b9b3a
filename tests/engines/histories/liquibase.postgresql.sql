-- Liquibase 4.33.0, postgresql: 1, 2, a tag, 3 marked, add-name, 5 rerun. Made by record.py.
CREATE TABLE public.databasechangelog (
    id character varying(255) NOT NULL,
    author character varying(255) NOT NULL,
    filename character varying(255) NOT NULL,
    dateexecuted timestamp without time zone NOT NULL,
    orderexecuted integer NOT NULL,
    exectype character varying(10) NOT NULL,
    md5sum character varying(35),
    description character varying(255),
    comments character varying(255),
    tag character varying(255),
    liquibase character varying(20),
    contexts character varying(255),
    labels character varying(255),
    deployment_id character varying(10)
);
CREATE TABLE public.databasechangeloglock (
    id integer NOT NULL,
    locked boolean NOT NULL,
    lockgranted timestamp without time zone,
    lockedby character varying(255)
);
INSERT INTO public.databasechangelog VALUES ('1', 'ann', 'changes.xml', '2026-11-24 13:30:55.734314', 1, 'EXECUTED', '9:d27339b8857396108d9ad767fce27b81', 'sql', '', NULL, '4.33.0', NULL, NULL, '5527052621');
INSERT INTO public.databasechangelog VALUES ('2', 'ann', 'changes.xml', '2026-11-24 13:30:55.744584', 2, 'EXECUTED', '9:419e98502ae13d9dc29ee26b86ffde1b', 'sql', '', NULL, '4.33.0', NULL, NULL, '5527052621');
INSERT INTO public.databasechangelog VALUES ('release-1', 'ann', 'changes.xml', '2026-11-24 13:30:55.748129', 3, 'EXECUTED', '9:596b86850094232d9b3ab8501c2c2bed', 'tagDatabase', '', 'release-1', '4.33.0', NULL, NULL, '5527052621');
INSERT INTO public.databasechangelog VALUES ('3', 'ann', 'changes.xml', '2026-11-24 13:30:55.754068', 4, 'MARK_RAN', '9:d27339b8857396108d9ad767fce27b81', 'sql', '', NULL, '4.33.0', NULL, NULL, '5527052621');
INSERT INTO public.databasechangelog VALUES ('add-name', 'bob', 'changes.xml', '2026-11-24 13:30:55.758036', 5, 'EXECUTED', '9:6180ae6f83663c44d5ed0261f0a97c44', 'sql', '', NULL, '4.33.0', NULL, NULL, '5527052621');
INSERT INTO public.databasechangelog VALUES ('5', 'ann', 'changes.xml', '2026-11-24 13:31:03.143743', 8, 'RERAN', '9:2fc939df9c7d50a3f24f057cf82ed6c2', 'sql', '', NULL, '4.33.0', NULL, NULL, '5527059692');
INSERT INTO public.databasechangeloglock VALUES (1, false, NULL, NULL);
ALTER TABLE ONLY public.databasechangeloglock
    ADD CONSTRAINT databasechangeloglock_pkey PRIMARY KEY (id);
