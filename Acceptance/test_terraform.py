# SPDX-License-Identifier: Apache-2.0
"""Terraform's AWS provider makes a trail and its bucket, sees no difference afterwards, and takes all of it away again.

Needs `terraform` on the path and the provider in a filesystem mirror: `$CAIRN_TF_PLUGINS`, or a folder `tf-plugins` under
/opt, /usr/share or /usr/local/share. Without them the tests are skipped.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

TERRAFORM = shutil.which("terraform")


def mirror() -> Path | None:
    places = [os.environ.get("CAIRN_TF_PLUGINS"), "/opt/tf-plugins", "/usr/share/tf-plugins",
              "/usr/local/share/tf-plugins"]
    for place in places:
        if place and (Path(place) / "registry.terraform.io" / "hashicorp" / "aws").is_dir():
            return Path(place)
    return None


pytestmark = [
    pytest.mark.skipif(TERRAFORM is None, reason="terraform is not installed"),
    pytest.mark.skipif(mirror() is None, reason="there is no mirror folder with Terraform's AWS provider"),
]

MAIN = """
terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}

provider "aws" {
  s3_use_path_style           = true
  skip_metadata_api_check     = true
  skip_region_validation      = true
  skip_requesting_account_id  = false
}

data "aws_caller_identity" "me" {}

resource "aws_s3_bucket" "logs" {
  bucket        = "terraform-logs"
  force_destroy = true
  tags          = { purpose = "audit", "cost centre" = "12" }
}

resource "aws_s3_bucket_policy" "logs" {
  bucket = aws_s3_bucket.logs.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid = "AclCheck", Effect = "Allow", Action = "s3:GetBucketAcl", Resource = aws_s3_bucket.logs.arn
        Principal = { Service = "cloudtrail.amazonaws.com" }
      },
      {
        Sid = "Write", Effect = "Allow", Action = "s3:PutObject"
        Principal = { Service = "cloudtrail.amazonaws.com" }
        Resource  = "${aws_s3_bucket.logs.arn}/AWSLogs/${data.aws_caller_identity.me.account_id}/*"
        Condition = { StringEquals = { "s3:x-amz-acl" = "bucket-owner-full-control" } }
      },
    ]
  })
}

resource "aws_cloudtrail" "trail" {
  name                       = "terraform-trail"
  s3_bucket_name             = aws_s3_bucket.logs.id
  enable_log_file_validation = true
  is_multi_region_trail      = true
  kms_key_id                 = aws_kms_key.logs.arn
  sns_topic_name             = aws_sns_topic.files.name
  depends_on                 = [aws_s3_bucket_policy.logs, aws_sns_topic_policy.files]
}
"""

KEY = """
resource "aws_kms_key" "logs" {
  description             = "log files"
  deletion_window_in_days = 7
  enable_key_rotation     = true
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid = "root", Effect = "Allow", Action = "kms:*", Resource = "*"
        Principal = { AWS = "arn:aws:iam::${data.aws_caller_identity.me.account_id}:root" }
      },
      {
        Sid = "encrypt", Effect = "Allow", Action = ["kms:GenerateDataKey*", "kms:DescribeKey"], Resource = "*"
        Principal = { Service = "cloudtrail.amazonaws.com" }
      },
    ]
  })
}

resource "aws_kms_alias" "logs" {
  name          = "alias/terraform-logs"
  target_key_id = aws_kms_key.logs.key_id
}

resource "aws_s3_bucket_server_side_encryption_configuration" "logs" {
  bucket = aws_s3_bucket.logs.id
  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm     = "aws:kms"
      kms_master_key_id = aws_kms_key.logs.arn
    }
    bucket_key_enabled = true
  }
}

resource "aws_s3_object" "note" {
  bucket  = aws_s3_bucket_server_side_encryption_configuration.logs.bucket
  key     = "note"
  content = "under the bucket's key"
}
"""

SETTINGS = """
resource "aws_s3_bucket_public_access_block" "logs" {
  bucket                  = aws_s3_bucket.logs.id
  block_public_acls       = true
  ignore_public_acls      = true
  block_public_policy     = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "logs" {
  bucket = aws_s3_bucket.logs.id
  rule { object_ownership = "BucketOwnerPreferred" }
}

resource "aws_s3_bucket_versioning" "logs" {
  bucket = aws_s3_bucket.logs.id
  versioning_configuration { status = "Enabled" }
}
"""


MESSAGES = """
resource "aws_sns_topic" "files" {
  name         = "terraform-files"
  display_name = "log files"
  tags         = { purpose = "audit" }
}

resource "aws_sns_topic_policy" "files" {
  arn = aws_sns_topic.files.arn
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid = "publish", Effect = "Allow", Action = "SNS:Publish", Resource = aws_sns_topic.files.arn
      Principal = { Service = ["cloudtrail.amazonaws.com", "s3.amazonaws.com"] }
    }]
  })
}

resource "aws_s3_bucket_notification" "logs" {
  bucket = aws_s3_bucket.logs.id
  topic {
    topic_arn     = aws_sns_topic.files.arn
    events        = ["s3:ObjectCreated:*"]
    filter_suffix = ".json.gz"
  }
  depends_on = [aws_sns_topic_policy.files]
}
"""


class Terraform:
    def __init__(self, server, folder: Path):
        self.folder = folder
        settings = folder / "terraform.rc"
        settings.write_text(
            f'provider_installation {{\n  filesystem_mirror {{ path = "{mirror()}" }}\n}}\n')
        self.environment = server.client_environment(
            TF_CLI_CONFIG_FILE=str(settings), CHECKPOINT_DISABLE="1", TF_IN_AUTOMATION="1", AWS_MAX_ATTEMPTS="2")
        for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
            self.environment.pop(name, None)

    def __call__(self, *words: str, codes=(0,)) -> subprocess.CompletedProcess:
        done = subprocess.run(
            [TERRAFORM, *words], cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=120)
        assert done.returncode in codes, f"terraform {' '.join(words)}:\n{done.stdout}\n{done.stderr}"
        return done


def test_a_trail_and_its_bucket(server, tmp_path):
    (tmp_path / "main.tf").write_text(MAIN + KEY + SETTINGS + MESSAGES)
    terraform = Terraform(server, tmp_path)
    terraform("init", "-no-color", "-input=false")
    terraform("apply", "-auto-approve", "-no-color", "-input=false")
    trails = server.client("cloudtrail").describe_trails()["trailList"]
    assert [trail["Name"] for trail in trails] == ["terraform-trail"]
    assert trails[0]["LogFileValidationEnabled"] and trails[0]["IsMultiRegionTrail"]
    key = server.client("kms").describe_key(KeyId="alias/terraform-logs")["KeyMetadata"]["Arn"]
    assert trails[0]["KmsKeyId"] == key
    topic = f"arn:aws:sns:{server.region}:{server.account_id}:terraform-files"
    assert trails[0]["SnsTopicARN"] == topic
    told = server.client("s3").get_bucket_notification_configuration(Bucket="terraform-logs")
    assert [rule["TopicArn"] for rule in told["TopicConfigurations"]] == [topic]
    assert server.client("s3").head_object(Bucket="terraform-logs", Key="note")["SSEKMSKeyId"] == key
    # 0: no changes; 2: there are some.
    plan = terraform("plan", "-detailed-exitcode", "-no-color", "-input=false", codes=(0, 2))
    assert plan.returncode == 0, plan.stdout
    state = json.loads(terraform("show", "-json").stdout)
    kinds = {resource["type"] for resource in state["values"]["root_module"]["resources"]}
    assert kinds >= {"aws_s3_bucket", "aws_s3_bucket_policy", "aws_cloudtrail", "aws_s3_bucket_ownership_controls"}
    terraform("destroy", "-auto-approve", "-no-color", "-input=false")
    assert server.client("cloudtrail").describe_trails()["trailList"] == []
    assert server.client("s3").list_buckets()["Buckets"] == []
    assert server.client("sns").list_topics()["Topics"] == []
