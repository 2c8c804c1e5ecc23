INSERT INTO connector (id, tenant_id, name, kind, config, secret_ref, verify, rotate_every_days, secrets_reserved,
                       status, operation_id, created_at, updated_at)
SELECT $1, $2, $3, $4, $5, $6, $9, $10, $11, 'installing', $7, $8, $8 FROM room WHERE for_all
