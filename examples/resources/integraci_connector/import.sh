# The tenant's slug or id, a slash, and the connector's name or id.
terraform import integraci_connector.hook acme/hook
