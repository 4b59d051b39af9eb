# 23:00 in Jakarta -> a Cloud Run job.

resource "google_cloud_run_v2_job" "producer" {
  name                = "nightly-sync-producer"
  location            = var.region
  deletion_protection = true

  template {
    task_count = 1

    template {
      service_account = google_service_account.program["producer"].email
      # Cloud Run tells no exit status from another. With --detach none of those that end in a retry is a finished night:
      # 1 and 5 carry the run on, 2 and 4 have done nothing.
      max_retries = 3
      timeout     = "14400s"

      containers {
        image = var.images.producer
        args  = ["--due", "23:00", "--detach", "--output", "json"]

        dynamic "env" {
          for_each = local.environment["producer"]
          content {
            name  = env.key
            value = env.value
          }
        }

        resources {
          limits = { cpu = "1", memory = "512Mi" }
        }
      }

      vpc_access {
        egress = "ALL_TRAFFIC"
        network_interfaces {
          network    = var.network
          subnetwork = var.subnetwork
        }
      }
    }
  }
}

resource "google_cloud_run_v2_job_iam_member" "scheduler" {
  name     = google_cloud_run_v2_job.producer.name
  location = var.region
  role     = "roles/run.invoker"
  member   = google_service_account.program["scheduler"].member
}

resource "google_cloud_scheduler_job" "night" {
  name        = "nightly-sync"
  description = "Starts the night. A start that is late still takes its own night (--due)."
  region      = var.region
  schedule    = "0 23 * * *"
  time_zone   = "Asia/Jakarta"

  retry_config {
    retry_count          = 5
    min_backoff_duration = "30s"
    max_retry_duration   = "3600s"
  }

  http_target {
    http_method = "POST"
    uri         = "https://run.googleapis.com/v2/${google_cloud_run_v2_job.producer.id}:run"

    oauth_token {
      service_account_email = google_service_account.program["scheduler"].email
    }
  }
}
