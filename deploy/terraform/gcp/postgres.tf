# Cloud SQL, reached by its private address alone. Its user is made by hand, so that no password is in a state file.

resource "google_sql_database_instance" "ledger" {
  count               = var.postgres == "created" ? 1 : 0
  name                = "nightly-sync"
  region              = var.region
  database_version    = "POSTGRES_17"
  encryption_key_name = google_kms_crypto_key.data.id
  deletion_protection = true

  settings {
    tier                        = "db-custom-2-7680"
    edition                     = "ENTERPRISE"
    availability_type           = "REGIONAL"
    deletion_protection_enabled = true

    ip_configuration {
      ipv4_enabled    = false
      private_network = var.network
      ssl_mode        = "ENCRYPTED_ONLY"
    }

    backup_configuration {
      enabled                        = true
      point_in_time_recovery_enabled = true
      # 19:00 UTC is 02:00 in Jakarta, after the night.
      start_time = "19:00"
    }

    # None of these writes the values of a statement.
    dynamic "database_flags" {
      for_each = {
        "cloudsql.enable_pgaudit"    = "on"
        "log_checkpoints"            = "on"
        "log_connections"            = "on"
        "log_disconnections"         = "on"
        "log_duration"               = "off"
        "log_hostname"               = "on"
        "log_lock_waits"             = "on"
        "log_min_duration_statement" = "-1"
        "log_min_error_statement"    = "error"
        "log_min_messages"           = "error"
        "log_parameter_max_length"   = "0"
        "log_statement"              = "ddl"
      }
      content {
        name  = database_flags.key
        value = database_flags.value
      }
    }
  }

  depends_on = [google_kms_crypto_key_iam_member.services]
}

resource "google_sql_database" "ledger" {
  count    = var.postgres == "created" ? 1 : 0
  name     = "nightly_sync"
  instance = google_sql_database_instance.ledger[0].name
}
