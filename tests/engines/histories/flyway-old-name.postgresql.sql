-- Flyway 12.4.0, postgresql: under the name until Flyway 5. Made by record.py.
CREATE TABLE public.schema_version (
    installed_rank integer NOT NULL,
    version character varying(50),
    description character varying(200) NOT NULL,
    type character varying(20) NOT NULL,
    script character varying(1000) NOT NULL,
    checksum integer,
    installed_by character varying(100) NOT NULL,
    installed_on timestamp without time zone DEFAULT now() NOT NULL,
    execution_time integer NOT NULL,
    success boolean NOT NULL
);
INSERT INTO public.schema_version VALUES (1, '1', 'create users', 'SQL', 'V1__create_users.sql', 336540139, 'recorder', '2026-11-24 13:30:26.840066', 21, true);
INSERT INTO public.schema_version VALUES (2, '2', 'create orders', 'SQL', 'V2__create_orders.sql', -1726728712, 'recorder', '2026-11-24 13:30:26.979975', 22, true);
INSERT INTO public.schema_version VALUES (3, '2.1', 'add name', 'SQL', 'V2.1__add_name.sql', 1458500936, 'recorder', '2026-11-24 13:30:27.061654', 6, true);
INSERT INTO public.schema_version VALUES (4, NULL, 'names', 'SQL', 'R__names.sql', 1235917246, 'recorder', '2026-11-24 13:30:27.086695', 12, true);
ALTER TABLE ONLY public.schema_version
    ADD CONSTRAINT schema_version_pk PRIMARY KEY (installed_rank);
CREATE INDEX schema_version_s_idx ON public.schema_version USING btree (success);
