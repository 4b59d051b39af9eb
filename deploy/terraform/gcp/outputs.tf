output "secrets" {
  description = "To be given a value each: gcloud secrets versions add NAME --data-file=-"
  value       = [for secret in google_secret_manager_secret.this : secret.secret_id]
}

output "postgres_address" {
  description = "For database-url, where Postgres is created here."
  value       = one(google_sql_database_instance.ledger[*].private_ip_address)
}

output "dashboard" {
  description = "The page, for whoever is let in by the load balancer before it."
  value       = google_cloud_run_v2_service.dashboard.uri
}
