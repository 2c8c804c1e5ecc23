# What the server may do in OpenBao: this and nothing else. `integraci-server setup` writes it, in the
# root namespace, and makes the server's token with it. In it
#
#   PLATFORM/  stands for the namespace that the platform is given (nothing when it is the root),
#   QUOTAS     for what the names of its tenants' rate limits begin with.

# Its own token: how long it lasts, making it last, what it may do.
path "auth/token/lookup-self" {
  capabilities = ["read"]
}
path "auth/token/renew-self" {
  capabilities = ["update"]
}
path "sys/capabilities-self" {
  capabilities = ["update"]
}

# Tenants' namespaces: made, looked at, removed.
path "PLATFORM/sys/namespaces/tenant-*" {
  capabilities = ["create", "read", "update", "delete"]
}

# All that is in them. The line is drawn at the name of the namespace: who writes the policies and the
# login roles of a namespace, as the platform does, can do anything in it by a detour, and a list of
# single paths in it would have to begin with `+`, which matches the namespaces of others too. An auth
# method takes sudo to mount.
path "PLATFORM/tenant-*" {
  capabilities = ["create", "read", "update", "patch", "delete", "list", "sudo"]
}

# How often a tenant's namespace may be called: OpenBao takes rate limits in its root namespace only.
path "sys/quotas/rate-limit/QUOTAStenant-*" {
  capabilities = ["create", "read", "update", "delete"]
}

# The platform's own keys, one for each tenant and system.
path "PLATFORM/integraci/data/tenants/*" {
  capabilities = ["create", "read", "update"]
}
path "PLATFORM/integraci/metadata/tenants/*" {
  capabilities = ["delete"]
}

# Signatures, and the public keys to check them by.
path "PLATFORM/integraci-transit/sign/+" {
  capabilities = ["update"]
}
path "PLATFORM/integraci-transit/keys/+" {
  capabilities = ["read"]
}
