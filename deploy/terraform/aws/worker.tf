# Workers, as many as RabbitMQ's messages ask for, ready and unacknowledged ones, in all queues. One stays: it closes runs,
# publishes again what a queue lost, and prunes.

resource "aws_ecs_service" "worker" {
  name            = "worker"
  cluster         = aws_ecs_cluster.this.id
  task_definition = aws_ecs_task_definition.program["worker"].arn
  launch_type     = "FARGATE"
  desired_count   = 1

  network_configuration {
    subnets          = var.private_subnet_ids
    security_groups  = [aws_security_group.program["worker"].id]
    assign_public_ip = false
  }

  lifecycle {
    # The scaling's.
    ignore_changes = [desired_count]
  }
}

resource "aws_appautoscaling_target" "worker" {
  service_namespace  = "ecs"
  scalable_dimension = "ecs:service:DesiredCount"
  resource_id        = "service/${aws_ecs_cluster.this.name}/${aws_ecs_service.worker.name}"
  min_capacity       = 1
  max_capacity       = var.max_workers
}

locals {
  # So many messages are one worker's.
  messages = 500
}

resource "aws_appautoscaling_policy" "more" {
  name               = "more"
  policy_type        = "StepScaling"
  service_namespace  = aws_appautoscaling_target.worker.service_namespace
  scalable_dimension = aws_appautoscaling_target.worker.scalable_dimension
  resource_id        = aws_appautoscaling_target.worker.resource_id

  step_scaling_policy_configuration {
    adjustment_type         = "ExactCapacity"
    metric_aggregation_type = "Maximum"
    cooldown                = 60

    # Bounds are counted from the alarm's threshold, which is one worker's.
    dynamic "step_adjustment" {
      for_each = range(1, var.max_workers)
      content {
        scaling_adjustment          = step_adjustment.value + 1
        metric_interval_lower_bound = (step_adjustment.value - 1) * local.messages
        metric_interval_upper_bound = step_adjustment.value + 1 == var.max_workers ? null : step_adjustment.value * local.messages
      }
    }
  }
}

resource "aws_appautoscaling_policy" "fewer" {
  name               = "fewer"
  policy_type        = "StepScaling"
  service_namespace  = aws_appautoscaling_target.worker.service_namespace
  scalable_dimension = aws_appautoscaling_target.worker.scalable_dimension
  resource_id        = aws_appautoscaling_target.worker.resource_id

  step_scaling_policy_configuration {
    adjustment_type         = "ChangeInCapacity"
    metric_aggregation_type = "Maximum"
    cooldown                = 60

    step_adjustment {
      scaling_adjustment          = -1
      metric_interval_upper_bound = 0
    }
  }
}

resource "aws_cloudwatch_metric_alarm" "more" {
  alarm_name          = "nightly-sync-more-workers"
  namespace           = "AWS/AmazonMQ"
  metric_name         = "MessageCount"
  dimensions          = { Broker = aws_mq_broker.this.broker_name }
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = local.messages
  alarm_actions       = [aws_appautoscaling_policy.more.arn]
}

resource "aws_cloudwatch_metric_alarm" "fewer" {
  alarm_name          = "nightly-sync-fewer-workers"
  namespace           = "AWS/AmazonMQ"
  metric_name         = "MessageCount"
  dimensions          = { Broker = aws_mq_broker.this.broker_name }
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 5
  comparison_operator = "LessThanOrEqualToThreshold"
  threshold           = local.messages
  alarm_actions       = [aws_appautoscaling_policy.fewer.arn]
}
