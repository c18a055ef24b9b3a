-- dbmate 2.36.0, postgresql: two files. Made by record.py.
CREATE TABLE public.schema_migrations (
    version character varying NOT NULL
);
INSERT INTO public.schema_migrations VALUES ('20260101120000');
INSERT INTO public.schema_migrations VALUES ('20260102120000');
ALTER TABLE ONLY public.schema_migrations
    ADD CONSTRAINT schema_migrations_pkey PRIMARY KEY (version);
