// Migrates a database with Knex: run_knex.js CONFIGURATION_AS_JSON; a migration called *_dies.js ends the process.
const knex = require("knex")(JSON.parse(process.argv[2]));
knex.migrate.latest().then(() => knex.destroy(), (error) => { console.error(error); process.exit(1); });
