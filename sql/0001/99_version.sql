-- Purpose: say which version this is, for those who apply the files with psql -f.
-- "python -m pgqueue schema upgrade" puts the checksum and the manifest in its place.
INSERT INTO pgqueue.schema_versions (version, sha256) VALUES (1, 'psql');
