# The three programs as ECS tasks on Fargate.

resource "aws_cloudwatch_log_group" "this" {
  name              = "/nightly-sync"
  retention_in_days = 365
  kms_key_id        = aws_kms_key.data.arn
}

resource "aws_ecs_cluster" "this" {
  name = "nightly-sync"

  setting {
    name  = "containerInsights"
    value = "enabled"
  }
}

locals {
  shapes = {
    producer  = { cpu = 256, memory = 512, ports = [] }
    worker    = { cpu = 512, memory = 1024, ports = [] }
    dashboard = { cpu = 256, memory = 512, ports = [8080] }
  }
}

resource "aws_ecs_task_definition" "program" {
  for_each                 = local.programs
  family                   = "nightly-sync-${each.key}"
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = local.shapes[each.key].cpu
  memory                   = local.shapes[each.key].memory
  task_role_arn            = aws_iam_role.program[each.key].arn
  execution_role_arn       = aws_iam_role.execution.arn

  container_definitions = jsonencode([{
    name                   = each.key
    image                  = var.images[each.key]
    essential              = true
    command                = each.key == "producer" ? ["--due", "23:00", "--output", "json"] : []
    user                   = "65532:65532"
    readonlyRootFilesystem = true
    # It leaves 26 seconds after SIGTERM at most.
    stopTimeout  = 60
    portMappings = [for port in local.shapes[each.key].ports : { containerPort = port }]
    environment  = [for name, value in local.environment[each.key] : { name = name, value = value }]
    linuxParameters = {
      capabilities = { drop = ["ALL"] }
    }
    # 1, 5 and signals: started again in the same task, which carries the run on. 2, 3 and 4 would end the same again.
    restartPolicy = each.key == "producer" ? { enabled = true, ignoredExitCodes = [0, 2, 3, 4], restartAttemptPeriod = 60 } : { enabled = false, ignoredExitCodes = [], restartAttemptPeriod = 60 }
    logConfiguration = {
      logDriver = "awslogs"
      options = {
        awslogs-group         = aws_cloudwatch_log_group.this.name
        awslogs-region        = var.region
        awslogs-stream-prefix = each.key
      }
    }
  }])
}

resource "aws_security_group" "program" {
  # checkov:skip=CKV2_AWS_5:each is attached to its task; checkov does not follow the key of for_each
  for_each    = local.programs
  name        = "nightly-sync-${each.key}"
  description = "nightly-sync: ${each.key}"
  vpc_id      = var.vpc_id
}

resource "aws_vpc_security_group_egress_rule" "https" {
  for_each          = local.programs
  security_group_id = aws_security_group.program[each.key].id
  description       = "Google, the FHIR server, the webhook, AWS"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

resource "aws_vpc_security_group_egress_rule" "own" {
  for_each          = { for pair in setproduct(local.programs, [5432, 5671]) : "${pair[0]}-${pair[1]}" => pair }
  security_group_id = aws_security_group.program[each.value[0]].id
  description       = "Postgres and RabbitMQ"
  cidr_ipv4         = var.vpc_cidr
  ip_protocol       = "tcp"
  from_port         = each.value[1]
  to_port           = each.value[1]
}

# 23:00 in Jakarta -> a task of the producer.
resource "aws_scheduler_schedule" "night" {
  name                         = "nightly-sync"
  description                  = "Starts the night. A start that is late still takes its own night (--due)."
  schedule_expression          = "cron(0 23 * * ? *)"
  schedule_expression_timezone = "Asia/Jakarta"
  kms_key_arn                  = aws_kms_key.data.arn

  flexible_time_window {
    mode = "OFF"
  }

  target {
    arn      = aws_ecs_cluster.this.arn
    role_arn = aws_iam_role.scheduler.arn

    ecs_parameters {
      task_definition_arn = aws_ecs_task_definition.program["producer"].arn
      launch_type         = "FARGATE"

      network_configuration {
        subnets          = var.private_subnet_ids
        security_groups  = [aws_security_group.program["producer"].id]
        assign_public_ip = false
      }
    }

    # Of the start, where ECS has no room; the run's own are its restart policy's.
    retry_policy {
      maximum_event_age_in_seconds = 3600
      maximum_retry_attempts       = 10
    }
  }
}

data "aws_iam_policy_document" "scheduler_assumed" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["scheduler.amazonaws.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [data.aws_caller_identity.this.account_id]
    }
  }
}

resource "aws_iam_role" "scheduler" {
  name               = "nightly-sync-scheduler"
  assume_role_policy = data.aws_iam_policy_document.scheduler_assumed.json
}

data "aws_iam_policy_document" "scheduler" {
  statement {
    actions   = ["ecs:RunTask"]
    resources = ["${aws_ecs_task_definition.program["producer"].arn_without_revision}:*"]
  }
  statement {
    actions   = ["iam:PassRole"]
    resources = [aws_iam_role.program["producer"].arn, aws_iam_role.execution.arn]
  }
  statement {
    actions   = ["kms:Decrypt"]
    resources = [aws_kms_key.data.arn]
  }
}

resource "aws_iam_role_policy" "scheduler" {
  name   = "start"
  role   = aws_iam_role.scheduler.id
  policy = data.aws_iam_policy_document.scheduler.json
}
