# Postgres, unless it is given, and RabbitMQ; reached from the programs alone.

resource "aws_security_group" "stores" {
  name        = "nightly-sync-stores"
  description = "nightly-sync: Postgres and RabbitMQ"
  vpc_id      = var.vpc_id
}

resource "aws_vpc_security_group_ingress_rule" "stores" {
  for_each                     = { for pair in setproduct(local.programs, [5432, 5671]) : "${pair[0]}-${pair[1]}" => pair }
  security_group_id            = aws_security_group.stores.id
  description                  = each.value[0]
  referenced_security_group_id = aws_security_group.program[each.value[0]].id
  ip_protocol                  = "tcp"
  from_port                    = each.value[1]
  to_port                      = each.value[1]
}

resource "aws_db_subnet_group" "this" {
  name       = "nightly-sync"
  subnet_ids = var.private_subnet_ids
}

resource "aws_db_parameter_group" "this" {
  name   = "nightly-sync"
  family = "postgres17"

  parameter {
    name  = "rds.force_ssl"
    value = "1"
  }
  # Statements that change tables; never the values of a row.
  parameter {
    name  = "log_statement"
    value = "ddl"
  }
  parameter {
    name  = "log_min_duration_statement"
    value = "1000"
  }
  parameter {
    name  = "log_parameter_max_length"
    value = "0"
  }
}

data "aws_iam_policy_document" "monitoring" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["monitoring.rds.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "monitoring" {
  name               = "nightly-sync-rds-monitoring"
  assume_role_policy = data.aws_iam_policy_document.monitoring.json
}

resource "aws_iam_role_policy_attachment" "monitoring" {
  role       = aws_iam_role.monitoring.name
  policy_arn = "arn:aws:iam::aws:policy/service-role/AmazonRDSEnhancedMonitoringRole"
}

resource "aws_db_instance" "ledger" {
  count                               = var.postgres == "created" ? 1 : 0
  identifier                          = "nightly-sync"
  engine                              = "postgres"
  engine_version                      = "17"
  instance_class                      = "db.t4g.medium"
  allocated_storage                   = 20
  max_allocated_storage               = 100
  db_name                             = "nightly_sync"
  username                            = "nightly_sync"
  manage_master_user_password         = true
  master_user_secret_kms_key_id       = aws_kms_key.data.arn
  db_subnet_group_name                = aws_db_subnet_group.this.name
  parameter_group_name                = aws_db_parameter_group.this.name
  vpc_security_group_ids              = [aws_security_group.stores.id]
  multi_az                            = true
  storage_encrypted                   = true
  kms_key_id                          = aws_kms_key.data.arn
  iam_database_authentication_enabled = true
  performance_insights_enabled        = true
  performance_insights_kms_key_id     = aws_kms_key.data.arn
  monitoring_interval                 = 60
  monitoring_role_arn                 = aws_iam_role.monitoring.arn
  enabled_cloudwatch_logs_exports     = ["postgresql", "upgrade"]
  auto_minor_version_upgrade          = true
  copy_tags_to_snapshot               = true
  deletion_protection                 = true
  skip_final_snapshot                 = false
  final_snapshot_identifier           = "nightly-sync-final"
  backup_retention_period             = 14
  # 02:00 to 03:00 in Jakarta, after the night.
  backup_window = "19:00-20:00"
}

resource "aws_mq_broker" "this" {
  broker_name                = "nightly-sync"
  engine_type                = "RabbitMQ"
  engine_version             = "3.13"
  host_instance_type         = "mq.m5.large"
  deployment_mode            = "CLUSTER_MULTI_AZ"
  publicly_accessible        = false
  subnet_ids                 = var.private_subnet_ids
  security_groups            = [aws_security_group.stores.id]
  auto_minor_version_upgrade = true

  encryption_options {
    kms_key_id        = aws_kms_key.data.arn
    use_aws_owned_key = false
  }

  logs {
    general = true
  }

  user {
    username = "nightly-sync"
    password = var.rabbitmq_password
  }
}
