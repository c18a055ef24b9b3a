-- Entity Framework Core 9 with Npgsql, postgresql: two migrations. Written by hand, by the statement that its documented
-- scripts begin with: .NET cannot be had from the registries that this project uses.
CREATE TABLE public."__EFMigrationsHistory" (
    "MigrationId" character varying(150) NOT NULL,
    "ProductVersion" character varying(32) NOT NULL,
    CONSTRAINT "PK___EFMigrationsHistory" PRIMARY KEY ("MigrationId")
);
INSERT INTO public."__EFMigrationsHistory" ("MigrationId", "ProductVersion") VALUES ('20260101120000_CreateUsers', '9.0.0');
INSERT INTO public."__EFMigrationsHistory" ("MigrationId", "ProductVersion") VALUES ('20260102120000_AddName', '9.0.0');
