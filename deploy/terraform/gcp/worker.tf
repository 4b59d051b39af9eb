# Workers: machines that run the one container, as many as the queues ask for. One stays: it closes runs, publishes again
# what a queue lost, and prunes.

locals {
  queues = ["work", "retry", "dead", "dry_run_work", "dry_run_retry", "dry_run_dead"]
  worker_environment = merge(local.environment["worker"], {
    FHIR_MAX_RPS = tostring(floor(var.fhir_requests_per_second / var.max_workers))
  })
}

data "google_compute_image" "cos" {
  family  = "cos-stable"
  project = "cos-cloud"
}

resource "google_compute_region_instance_template" "worker" {
  name_prefix  = "nightly-sync-worker-"
  region       = var.region
  machine_type = "e2-small"
  tags         = ["nightly-sync-worker"]

  disk {
    source_image = data.google_compute_image.cos.self_link
    disk_size_gb = 10
    disk_encryption_key {
      kms_key_self_link = google_kms_crypto_key.data.id
    }
  }

  network_interface {
    subnetwork = var.subnetwork
  }

  service_account {
    email  = google_service_account.program["worker"].email
    scopes = ["cloud-platform"]
  }

  shielded_instance_config {
    enable_secure_boot          = true
    enable_vtpm                 = true
    enable_integrity_monitoring = true
  }

  metadata = {
    block-project-ssh-keys = "true"
    google-logging-enabled = "true"
    user-data = templatefile("${path.module}/worker.cloud-init.yaml", {
      image       = var.images.worker
      registry    = split("/", var.images.worker)[0]
      environment = local.worker_environment
    })
  }

  lifecycle {
    create_before_destroy = true
  }
}

resource "google_compute_health_check" "worker" {
  name                = "nightly-sync-worker"
  check_interval_sec  = 20
  unhealthy_threshold = 6

  http_health_check {
    port         = 9464
    request_path = "/healthz"
  }
}

resource "google_compute_firewall" "health" {
  name    = "nightly-sync-health"
  network = var.network
  # Where Google's health checks come from.
  source_ranges = ["35.191.0.0/16", "130.211.0.0/22"]
  target_tags   = ["nightly-sync-worker"]

  allow {
    protocol = "tcp"
    ports    = ["9464"]
  }
}

resource "google_compute_region_instance_group_manager" "worker" {
  name               = "nightly-sync-worker"
  region             = var.region
  base_instance_name = "nightly-sync-worker"

  version {
    instance_template = google_compute_region_instance_template.worker.self_link
  }

  auto_healing_policies {
    health_check      = google_compute_health_check.worker.id
    initial_delay_sec = 300
  }

  update_policy {
    type                  = "PROACTIVE"
    minimal_action        = "REPLACE"
    max_surge_fixed       = 3
    max_unavailable_fixed = 0
  }

  lifecycle {
    # The autoscaler's.
    ignore_changes = [target_size]
  }
}

resource "google_compute_region_autoscaler" "worker" {
  name   = "nightly-sync-worker"
  region = var.region
  target = google_compute_region_instance_group_manager.worker.id

  autoscaling_policy {
    min_replicas    = 1
    max_replicas    = var.max_workers
    cooldown_period = 60

    # Of the page's metrics (dashboard.tf); of several series the autoscaler takes the sum.
    metric {
      name                       = "prometheus.googleapis.com/nightly_sync_queue_depth/gauge"
      filter                     = "resource.type = \"prometheus_target\" AND metric.labels.queue = one_of(${join(", ", [for queue in local.queues : "\"${queue}\""])})"
      single_instance_assignment = 500
    }

    scale_in_control {
      time_window_sec = 300
      max_scaled_in_replicas {
        fixed = 1
      }
    }
  }
}
