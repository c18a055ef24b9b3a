-- Liquibase 4.33.0, postgresql: two files that count from 1. Made by record.py.
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
INSERT INTO public.databasechangelog VALUES ('1', 'ann', 'users.xml', '2026-11-24 13:31:18.190716', 1, 'EXECUTED', '9:d27339b8857396108d9ad767fce27b81', 'sql', '', NULL, '4.33.0', NULL, NULL, '5527075536');
INSERT INTO public.databasechangelog VALUES ('1', 'ann', 'orders.xml', '2026-11-24 13:31:18.211918', 2, 'EXECUTED', '9:419e98502ae13d9dc29ee26b86ffde1b', 'sql', '', NULL, '4.33.0', NULL, NULL, '5527075536');
INSERT INTO public.databasechangelog VALUES ('2', 'ann', 'orders.xml', '2026-11-24 13:31:18.230822', 3, 'EXECUTED', '9:e52e1dd7aae53d75ac9f1eb93d51221a', 'sql', '', NULL, '4.33.0', NULL, NULL, '5527075536');
INSERT INTO public.databasechangeloglock VALUES (1, false, NULL, NULL);
ALTER TABLE ONLY public.databasechangeloglock
    ADD CONSTRAINT databasechangeloglock_pkey PRIMARY KEY (id);
