-- goose 2.1.0, postgresql: 2 down and up, the third down. Made by record.py.
CREATE TABLE public.goose_db_version (
    id integer NOT NULL,
    version_id bigint NOT NULL,
    is_applied boolean NOT NULL,
    tstamp timestamp without time zone DEFAULT now()
);
CREATE SEQUENCE public.goose_db_version_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.goose_db_version_id_seq OWNED BY public.goose_db_version.id;
ALTER TABLE ONLY public.goose_db_version ALTER COLUMN id SET DEFAULT nextval('public.goose_db_version_id_seq'::regclass);
INSERT INTO public.goose_db_version VALUES (1, 0, true, '2026-11-24 13:31:32.252842');
INSERT INTO public.goose_db_version VALUES (2, 1, true, '2026-11-24 13:31:32.257102');
INSERT INTO public.goose_db_version VALUES (3, 2, true, '2026-11-24 13:31:32.259612');
INSERT INTO public.goose_db_version VALUES (4, 20260101120000, true, '2026-11-24 13:31:32.260785');
INSERT INTO public.goose_db_version VALUES (5, 20260101120000, false, '2026-11-24 13:31:32.272727');
INSERT INTO public.goose_db_version VALUES (6, 2, false, '2026-11-24 13:31:32.283646');
INSERT INTO public.goose_db_version VALUES (7, 2, true, '2026-11-24 13:31:32.296965');
SELECT pg_catalog.setval('public.goose_db_version_id_seq', 7, true);
ALTER TABLE ONLY public.goose_db_version
    ADD CONSTRAINT goose_db_version_pkey PRIMARY KEY (id);
