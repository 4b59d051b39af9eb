# The page, one instance, since sessions are in its memory; and beside it what brings its metrics to Cloud Monitoring,
# where the workers' autoscaler and the alerts find them.

resource "google_cloud_run_v2_service" "dashboard" {
  name                = "nightly-sync-dashboard"
  location            = var.region
  ingress             = "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER"
  deletion_protection = true

  template {
    service_account = google_service_account.program["dashboard"].email

    scaling {
      min_instance_count = 1
      max_instance_count = 1
    }

    containers {
      name  = "dashboard"
      image = var.images.dashboard

      ports {
        container_port = 8080
      }

      dynamic "env" {
        for_each = merge(local.environment["dashboard"], { DASHBOARD_ADDR = "0.0.0.0:8080" })
        content {
          name  = env.key
          value = env.value
        }
      }

      resources {
        limits = { cpu = "1", memory = "512Mi" }
        # The steward works between requests too.
        cpu_idle = false
      }

      startup_probe {
        tcp_socket {
          port = 8080
        }
      }
    }

    containers {
      name       = "metrics"
      image      = "us-docker.pkg.dev/cloud-ops-agents-artifacts/cloud-run-gmp-sidecar/cloud-run-gmp-sidecar:1.2.0"
      depends_on = ["dashboard"]

      volume_mounts {
        name       = "scrape"
        mount_path = "/etc/rungmp"
      }
    }

    volumes {
      name = "scrape"
      secret {
        secret = google_secret_manager_secret.scrape.secret_id
        items {
          version = "latest"
          path    = "config.yaml"
        }
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

  depends_on = [google_secret_manager_secret_version.scrape, google_secret_manager_secret_iam_member.scrape]
}

resource "google_cloud_run_v2_service_iam_member" "operator" {
  for_each = toset(var.operators)
  name     = google_cloud_run_v2_service.dashboard.name
  location = var.region
  role     = "roles/run.invoker"
  member   = each.key
}

# No secret; Cloud Run takes files from nowhere else.
resource "google_secret_manager_secret" "scrape" {
  secret_id = "nightly-sync-scrape"

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

  depends_on = [google_kms_crypto_key_iam_member.services]
}

resource "google_secret_manager_secret_version" "scrape" {
  secret = google_secret_manager_secret.scrape.id
  secret_data = yamlencode({
    apiVersion = "monitoring.googleapis.com/v1beta"
    kind       = "RunMonitoring"
    metadata   = { name = "nightly-sync" }
    spec       = { endpoints = [{ port = 9464, path = "/metrics", interval = "15s" }] }
  })
}

resource "google_secret_manager_secret_iam_member" "scrape" {
  secret_id = google_secret_manager_secret.scrape.id
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.program["dashboard"].member
}

# The sidecar writes metrics, and programs on machines their logs.
resource "google_project_iam_member" "telemetry" {
  for_each = {
    "dashboard-metrics" = { program = "dashboard", role = "roles/monitoring.metricWriter" }
    "worker-logs"       = { program = "worker", role = "roles/logging.logWriter" }
    "worker-images"     = { program = "worker", role = "roles/artifactregistry.reader" }
  }
  project = var.project
  role    = each.value.role
  member  = google_service_account.program[each.value.program].member
}
