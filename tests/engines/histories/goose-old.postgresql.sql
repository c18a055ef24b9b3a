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
INSERT INTO public.goose_db_version VALUES (1, 0, true, '2026-11-24 14:30:14.724421');
INSERT INTO public.goose_db_version VALUES (2, 1, true, '2026-11-24 14:30:14.743041');
INSERT INTO public.goose_db_version VALUES (3, 2, true, '2026-11-24 14:30:14.753747');
INSERT INTO public.goose_db_version VALUES (4, 20260101120000, true, '2026-11-24 14:30:14.762114');
INSERT INTO public.goose_db_version VALUES (5, 20260101120000, false, '2026-11-24 14:30:14.816482');
INSERT INTO public.goose_db_version VALUES (6, 2, false, '2026-11-24 14:30:14.871051');
INSERT INTO public.goose_db_version VALUES (7, 2, true, '2026-11-24 14:30:14.932412');
SELECT pg_catalog.setval('public.goose_db_version_id_seq', 7, true);
ALTER TABLE ONLY public.goose_db_version
    ADD CONSTRAINT goose_db_version_pkey PRIMARY KEY (id);
