# Migrates a database with Active Record: run_rails.rb CONFIGURATION_AS_JSON FOLDER_OF_MIGRATIONS
require "active_record"
require "json"

ActiveRecord::Base.establish_connection(JSON.parse(ARGV[0]))
ActiveRecord::MigrationContext.new(ARGV[1], ActiveRecord::Base.connection.schema_migration).migrate
STDOUT.puts ActiveRecord.version
