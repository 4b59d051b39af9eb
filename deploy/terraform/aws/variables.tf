variable "region" {
  type        = string
  default     = "ap-southeast-3"
  description = "Jakarta, unless the data may be elsewhere."
}

variable "images" {
  type        = object({ producer = string, worker = string, dashboard = string })
  description = "By digest, from a registry of this account. Built with the cargo feature aws-sm: secrets are references."
}

variable "vpc_id" {
  type        = string
  description = "The VPC that everything is in."
}

variable "vpc_cidr" {
  type        = string
  description = "Its addresses: from nowhere else is the page reached."
}

variable "private_subnet_ids" {
  type        = list(string)
  description = "Subnets in two zones at least, with a way out by NAT."
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
  description = "created: RDS here. given: whatever the secret database-url names."

  validation {
    condition     = contains(["created", "given"], var.postgres)
    error_message = "created or given."
  }
}

variable "rabbitmq_password" {
  type        = string
  sensitive   = true
  description = "Of the user that RabbitMQ is made with. It is in the state: keep that encrypted, and change the password once secrets are filled."
}

variable "certificate_arn" {
  type        = string
  description = "For the page's name."
}

variable "rotation_lambda_arns" {
  type        = map(string)
  default     = {}
  description = "By secret: a function that replaces it. A secret without one is replaced by hand when its tag says so."
}

variable "access_log_bucket" {
  type        = string
  description = "Where the load balancer writes who asked for what; no NIK is in an address of the page."
}
