-- Flyway 12.4.0, postgresql: a baseline at 2, then 2.1. Made by record.py.
CREATE TABLE public.flyway_schema_history (
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
INSERT INTO public.flyway_schema_history VALUES (1, '2', '<< Flyway Baseline >>', 'BASELINE', '<< Flyway Baseline >>', NULL, 'recorder', '2026-11-24 13:30:30.277359', 0, true);
INSERT INTO public.flyway_schema_history VALUES (2, '2.1', 'add name', 'SQL', 'V2.1__add_name.sql', 1458500936, 'recorder', '2026-11-24 13:30:30.735733', 7, true);
INSERT INTO public.flyway_schema_history VALUES (3, NULL, 'names', 'SQL', 'R__names.sql', 1235917246, 'recorder', '2026-11-24 13:30:30.769849', 5, true);
ALTER TABLE ONLY public.flyway_schema_history
    ADD CONSTRAINT flyway_schema_history_pk PRIMARY KEY (installed_rank);
CREATE INDEX flyway_schema_history_s_idx ON public.flyway_schema_history USING btree (success);
