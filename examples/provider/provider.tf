terraform {
  required_version = ">= 1.11"
  required_providers {
    integraci = {
      source = "integraci/integraci"
    }
  }
}

# The token comes from INTEGRACI_TOKEN, so that it is in no file.
provider "integraci" {
  endpoint = "https://platform.example"
}
