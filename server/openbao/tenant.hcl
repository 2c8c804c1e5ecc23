# What the tenant's own tokens may do, in its namespace: all of its store, except that the secrets of
# its connectors, which the platform keeps there, show their versions and never their values.

path "secret/data/*" {
  capabilities = ["create", "read", "update", "patch", "delete"]
}
path "secret/delete/*" {
  capabilities = ["update"]
}
path "secret/undelete/*" {
  capabilities = ["update"]
}
path "secret/destroy/*" {
  capabilities = ["update"]
}
path "secret/metadata/*" {
  capabilities = ["create", "read", "update", "patch", "delete", "list"]
}

path "secret/data/connectors/*" {
  capabilities = ["deny"]
}
path "secret/subkeys/connectors/*" {
  capabilities = ["deny"]
}
path "secret/delete/connectors/*" {
  capabilities = ["deny"]
}
path "secret/undelete/connectors/*" {
  capabilities = ["deny"]
}
path "secret/destroy/connectors/*" {
  capabilities = ["deny"]
}
path "secret/metadata/connectors/*" {
  capabilities = ["read", "list"]
}

# Looking at itself and giving itself up. Not renewing itself: how long it works is the platform's to say.
path "auth/token/lookup-self" {
  capabilities = ["read"]
}
path "auth/token/revoke-self" {
  capabilities = ["update"]
}
