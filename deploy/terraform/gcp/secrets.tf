# Secrets are made empty here: their values never pass through Terraform or its state. docs/deploying.md says how they
# get in. RabbitMQ is given: amqp-url names it.

locals {
  day = 86400
  # Who reads it, and after how many days it is to be replaced. The data key is added to, not replaced: rekey brings what
  # it sealed under the newest.
  secrets = {
    "database-url"       = { readers = ["producer", "worker", "dashboard"], days = 90 }
    "amqp-url"           = { readers = ["producer", "worker", "dashboard"], days = 90 }
    "data-key"           = { readers = ["producer", "worker", "dashboard"], days = 365 }
    "alert-webhook-url"  = { readers = ["producer", "worker", "dashboard"], days = 365 }
    "google-credentials" = { readers = ["producer", "dashboard"], days = 90 }
    "fhir-api-key"       = { readers = ["worker"], days = 90 }
    "dashboard-token"    = { readers = ["dashboard"], days = 30 }
  }
  reads = merge([
    for secret, it in local.secrets : { for reader in it.readers : "${reader}-${secret}" => { reader = reader, secret = secret } }
  ]...)
  variables = {
    "database-url"       = "DATABASE_URL"
    "amqp-url"           = "AMQP_URL"
    "data-key"           = "DATA_KEY"
    "alert-webhook-url"  = "ALERT_WEBHOOK_URL"
    "google-credentials" = "GOOGLE_CREDENTIALS"
    "fhir-api-key"       = "FHIR_API_KEY"
    "dashboard-token"    = "DASHBOARD_TOKEN"
  }
  # What each program is started with.
  environment = {
    for program in ["producer", "worker", "dashboard"] : program => merge(
      { LOG_FORMAT = "json", METRICS_ADDR = "0.0.0.0:9464" },
      var.settings,
      {
        for secret, it in local.secrets :
        local.variables[secret] => "gcp-sm://projects/${var.project}/secrets/nightly-sync-${secret}/versions/latest"
        if contains(it.readers, program)
      },
    )
  }
}

resource "google_service_account" "program" {
  for_each     = toset(["producer", "worker", "dashboard", "scheduler"])
  account_id   = "nightly-sync-${each.key}"
  display_name = "nightly-sync: ${each.key}"
}

# Told when a secret is due; who subscribes replaces it.
resource "google_pubsub_topic" "rotation" {
  name         = "nightly-sync-rotation"
  kms_key_name = google_kms_crypto_key.data.id

  message_storage_policy {
    allowed_persistence_regions = [var.region]
  }
}

data "google_project" "this" {}

resource "google_pubsub_topic_iam_member" "rotation" {
  topic  = google_pubsub_topic.rotation.id
  role   = "roles/pubsub.publisher"
  member = "serviceAccount:service-${data.google_project.this.number}@gcp-sa-secretmanager.iam.gserviceaccount.com"
}

resource "time_rotating" "first" {
  for_each      = local.secrets
  rotation_days = each.value.days
}

resource "google_secret_manager_secret" "this" {
  for_each  = local.secrets
  secret_id = "nightly-sync-${each.key}"

  replication {
    user_managed {
      replicas {
        location = var.region
        customer_managed_encryption {
          kms_key_name = google_kms_crypto_key.data.id
        }
      }
    }
  }

  topics {
    name = google_pubsub_topic.rotation.id
  }

  rotation {
    rotation_period    = "${each.value.days * local.day}s"
    next_rotation_time = time_rotating.first[each.key].rotation_rfc3339
  }

  lifecycle {
    # Secret Manager moves it on by itself.
    ignore_changes = [rotation[0].next_rotation_time]
  }

  depends_on = [google_pubsub_topic_iam_member.rotation, google_kms_crypto_key_iam_member.services]
}

resource "google_secret_manager_secret_iam_member" "reader" {
  for_each  = local.reads
  secret_id = google_secret_manager_secret.this[each.value.secret].id
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.program[each.value.reader].member
}

resource "google_kms_key_ring" "this" {
  name     = "nightly-sync"
  location = var.region
}

resource "google_kms_crypto_key" "data" {
  name            = "data"
  key_ring        = google_kms_key_ring.this.id
  rotation_period = "7776000s" # 90 days

  lifecycle {
    prevent_destroy = true
  }
}

resource "google_kms_crypto_key_iam_member" "services" {
  for_each      = toset(["gcp-sa-secretmanager", "gcp-sa-pubsub", "gcp-sa-cloud-sql", "compute-system"])
  crypto_key_id = google_kms_crypto_key.data.id
  role          = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
  member        = "serviceAccount:service-${data.google_project.this.number}@${each.key}.iam.gserviceaccount.com"
}
