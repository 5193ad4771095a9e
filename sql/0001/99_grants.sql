-- Purpose: nothing for PUBLIC. Functions are executable by PUBLIC unless one says otherwise.
-- Who may use the schema is the owner's to say: GRANT USAGE ON SCHEMA pgqueue and INSERT on jobs.
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA pgqueue FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA pgqueue FROM PUBLIC;
REVOKE ALL ON SCHEMA pgqueue FROM PUBLIC;
