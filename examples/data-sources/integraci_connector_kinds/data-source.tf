data "integraci_connector_kinds" "known" {}

output "keyless_kinds" {
  value = [
    for kind in data.integraci_connector_kinds.known.kinds : kind.name if kind.keyless != "never"
  ]
}
