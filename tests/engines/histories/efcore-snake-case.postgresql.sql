-- Entity Framework Core 9 with Npgsql and names in snake case, postgresql: two migrations. Written by hand, as the other
-- one: .NET cannot be had from the registries that this project uses.
CREATE TABLE public."__EFMigrationsHistory" (
    migration_id character varying(150) NOT NULL,
    product_version character varying(32) NOT NULL,
    CONSTRAINT pk___ef_migrations_history PRIMARY KEY (migration_id)
);
INSERT INTO public."__EFMigrationsHistory" (migration_id, product_version) VALUES ('20260101120000_CreateUsers', '9.0.0');
INSERT INTO public."__EFMigrationsHistory" (migration_id, product_version) VALUES ('20260102120000_AddName', '9.0.0');
