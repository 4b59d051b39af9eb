# Secrets are made empty here: their values never pass through Terraform or its state. docs/deploying.md says how they
# get in.

locals {
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
  variables = {
    "database-url"       = "DATABASE_URL"
    "amqp-url"           = "AMQP_URL"
    "data-key"           = "DATA_KEY"
    "alert-webhook-url"  = "ALERT_WEBHOOK_URL"
    "google-credentials" = "GOOGLE_CREDENTIALS"
    "fhir-api-key"       = "FHIR_API_KEY"
    "dashboard-token"    = "DASHBOARD_TOKEN"
  }
  programs = toset(["producer", "worker", "dashboard"])
  own = {
    producer  = {}
    worker    = { FHIR_MAX_RPS = tostring(floor(var.fhir_requests_per_second / var.max_workers)) }
    dashboard = { DASHBOARD_ADDR = "0.0.0.0:8080" }
  }
  # What each program is started with.
  environment = {
    for program in local.programs : program => merge(
      { LOG_FORMAT = "json", METRICS_ADDR = "0.0.0.0:9464" },
      var.settings,
      local.own[program],
      {
        for secret, it in local.secrets :
        local.variables[secret] => "aws-sm://${var.region}/nightly-sync/${secret}"
        if contains(it.readers, program)
      },
    )
  }
}

data "aws_caller_identity" "this" {}

data "aws_iam_policy_document" "key" {
  # checkov:skip=CKV_AWS_109:a key's policy names the key by "*", and no other resource
  # checkov:skip=CKV_AWS_111:likewise
  # checkov:skip=CKV_AWS_356:likewise
  statement {
    sid       = "Account"
    actions   = ["kms:*"]
    resources = ["*"]
    principals {
      type        = "AWS"
      identifiers = ["arn:aws:iam::${data.aws_caller_identity.this.account_id}:root"]
    }
  }
  statement {
    sid       = "Logs"
    actions   = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:Describe*"]
    resources = ["*"]
    principals {
      type        = "Service"
      identifiers = ["logs.${var.region}.amazonaws.com"]
    }
  }
}

resource "aws_kms_key" "data" {
  description         = "nightly-sync: secrets, ledger, queue, logs"
  enable_key_rotation = true
  policy              = data.aws_iam_policy_document.key.json
}

resource "aws_secretsmanager_secret" "this" {
  # checkov:skip=CKV2_AWS_57:rotated where rotation_lambda_arns has a function; a Google key or a FHIR server's has none
  for_each    = local.secrets
  name        = "nightly-sync/${each.key}"
  kms_key_id  = aws_kms_key.data.arn
  description = "To be replaced after ${each.value.days} days"
  tags        = { rotation-days = each.value.days }
}

resource "aws_secretsmanager_secret_rotation" "this" {
  # checkov:skip=CKV_AWS_304:90 days at most, but for the data key and the webhook, which are a year's
  for_each            = { for secret, arn in var.rotation_lambda_arns : secret => arn if contains(keys(local.secrets), secret) }
  secret_id           = aws_secretsmanager_secret.this[each.key].id
  rotation_lambda_arn = each.value

  rotation_rules {
    automatically_after_days = local.secrets[each.key].days
  }
}

data "aws_iam_policy_document" "tasks" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["ecs-tasks.amazonaws.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [data.aws_caller_identity.this.account_id]
    }
  }
}

# One identity for each program, which reads its own secrets.
resource "aws_iam_role" "program" {
  for_each           = local.programs
  name               = "nightly-sync-${each.key}"
  assume_role_policy = data.aws_iam_policy_document.tasks.json
}

data "aws_iam_policy_document" "secrets" {
  for_each = local.programs
  statement {
    actions   = ["secretsmanager:GetSecretValue"]
    resources = [for secret, it in local.secrets : aws_secretsmanager_secret.this[secret].arn if contains(it.readers, each.key)]
  }
  statement {
    actions   = ["kms:Decrypt"]
    resources = [aws_kms_key.data.arn]
    condition {
      test     = "StringEquals"
      variable = "kms:ViaService"
      values   = ["secretsmanager.${var.region}.amazonaws.com"]
    }
  }
}

resource "aws_iam_role_policy" "secrets" {
  for_each = local.programs
  name     = "secrets"
  role     = aws_iam_role.program[each.key].id
  policy   = data.aws_iam_policy_document.secrets[each.key].json
}

# What ECS itself does before a program runs: take the image, write the log.
resource "aws_iam_role" "execution" {
  name               = "nightly-sync-execution"
  assume_role_policy = data.aws_iam_policy_document.tasks.json
}

resource "aws_iam_role_policy_attachment" "execution" {
  role       = aws_iam_role.execution.name
  policy_arn = "arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"
}
