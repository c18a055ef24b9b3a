"""What runs inside of a Job's pod: takes one line of one database to its target, and says how it went."""
