# Cloud SQL, reached by its private address alone. Its user is made by hand, so that no password is in a state file.

resource "google_sql_database_instance" "ledger" {
  # checkov:skip=CKV_GCP_6:TLS is demanded; certificates of clients are not, the programs have a password
  # checkov:skip=CKV2_GCP_13:a line for each statement of a night says nothing
  count               = var.postgres == "created" ? 1 : 0
  name                = "nightly-sync"
  region              = var.region
  database_version    = "POSTGRES_18"
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
    database_flags {
      name  = "cloudsql.enable_pgaudit"
      value = "on"
    }
    database_flags {
      name  = "log_checkpoints"
      value = "on"
    }
    database_flags {
      name  = "log_connections"
      value = "on"
    }
    database_flags {
      name  = "log_disconnections"
      value = "on"
    }
    database_flags {
      name  = "log_hostname"
      value = "on"
    }
    database_flags {
      name  = "log_lock_waits"
      value = "on"
    }
    database_flags {
      name  = "log_min_duration_statement"
      value = "-1"
    }
    database_flags {
      name  = "log_min_error_statement"
      value = "error"
    }
    database_flags {
      name  = "log_min_messages"
      value = "error"
    }
    database_flags {
      name  = "log_parameter_max_length"
      value = "0"
    }
    database_flags {
      name  = "log_statement"
      value = "ddl"
    }
  }

  depends_on = [google_kms_crypto_key_iam_member.services]
}

resource "google_sql_database" "ledger" {
  count    = var.postgres == "created" ? 1 : 0
  name     = "nightly_sync"
  instance = google_sql_database_instance.ledger[0].name
}
