output "secrets" {
  description = "To be given a value each: aws secretsmanager put-secret-value --secret-id NAME --secret-string file:///dev/stdin"
  value       = [for secret in aws_secretsmanager_secret.this : secret.name]
}

output "postgres_address" {
  description = "For database-url, where Postgres is created here."
  value       = one(aws_db_instance.ledger[*].address)
}

output "rabbitmq_address" {
  description = "For amqp-url."
  value       = aws_mq_broker.this.instances[0].endpoints
}

output "dashboard" {
  description = "The page."
  value       = aws_lb.dashboard.dns_name
}
