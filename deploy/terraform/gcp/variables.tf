variable "project" {
  type        = string
  description = "The project that everything is made in."
}

variable "region" {
  type        = string
  default     = "asia-southeast2"
  description = "Jakarta, unless the data may be elsewhere."
}

variable "images" {
  type        = object({ producer = string, worker = string, dashboard = string })
  description = "By digest, from a registry of this project. Built with the cargo feature gcp-sm: secrets are references."
}

variable "network" {
  type        = string
  description = "Self-link of the VPC network, with Cloud NAT and private services access."
}

variable "subnetwork" {
  type        = string
  description = "Self-link of its subnetwork in the region."
}

variable "settings" {
  type        = map(string)
  description = "Settings that are no secrets, as in the README: SHEET_ID, FHIR_URL and others."
}

variable "fhir_requests_per_second" {
  type        = number
  default     = 400
  description = "What was agreed with the FHIR server's owner, for all workers together."
}

variable "max_workers" {
  type        = number
  default     = 4
  description = "Each may ask for its part of fhir_requests_per_second."
}

variable "postgres" {
  type        = string
  default     = "created"
  description = "created: Cloud SQL here. given: whatever the secret database-url names."

  validation {
    condition     = contains(["created", "given"], var.postgres)
    error_message = "created or given."
  }
}

variable "operators" {
  type        = list(string)
  default     = []
  description = "Members that may open the page, such as group:on-call@example.org."
}
