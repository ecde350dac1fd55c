// SPDX-License-Identifier: Apache-2.0
//
// Source: AWS Managed Policy Reference, the page of each policy.

/// The documents of the policies that AWS offers to every account.
enum AWSManagedPolicyTexts {
    static let cloudTrailFullAccess = #"""
        {"Statement":[{"Action":["sns:AddPermission", "sns:CreateTopic", "sns:SetTopicAttributes",
        "sns:GetTopicAttributes"], "Effect":"Allow", "Resource":["arn:aws:sns:*:*:aws-cloudtrail-logs*"]},
        {"Action":["sns:ListTopics"], "Effect":"Allow", "Resource":"*"}, {"Action":["s3:CreateBucket",
        "s3:PutBucketPolicy", "s3:PutBucketPublicAccessBlock"], "Effect":"Allow",
        "Resource":["arn:aws:s3:::aws-cloudtrail-logs*"]}, {"Action":["s3:ListAllMyBuckets",
        "s3:GetBucketLocation", "s3:GetBucketPolicy"], "Effect":"Allow", "Resource":"*"}, {"Action":"cloudtrail:*",
        "Effect":"Allow", "Resource":"*"}, {"Action":["logs:CreateLogGroup"], "Effect":"Allow",
        "Resource":["arn:aws:logs:*:*:log-group:aws-cloudtrail-logs*"]}, {"Action":["iam:ListRoles",
        "iam:GetRolePolicy", "iam:GetUser"], "Effect":"Allow", "Resource":"*"}, {"Action":["iam:PassRole"],
        "Condition":{"StringEquals":{"iam:PassedToService":"cloudtrail.amazonaws.com"}}, "Effect":"Allow",
        "Resource":"*"}, {"Action":["kms:CreateKey", "kms:CreateAlias", "kms:ListKeys", "kms:ListAliases"],
        "Effect":"Allow", "Resource":"*"}, {"Action":["lambda:ListFunctions"], "Effect":"Allow", "Resource":"*"},
        {"Action":["dynamodb:ListGlobalTables", "dynamodb:ListTables"], "Effect":"Allow", "Resource":"*"}],
        "Version":"2012-10-17"}
        """#

    static let cloudTrailReadOnlyAccess = #"""
        {"Statement":[{"Action":["cloudtrail:Get*", "cloudtrail:Describe*", "cloudtrail:List*",
        "cloudtrail:LookupEvents"], "Effect":"Allow", "Resource":"*"}], "Version":"2012-10-17"}
        """#

    static let administratorAccess = #"""
        {"Statement":[{"Action":"*", "Effect":"Allow", "Resource":"*"}], "Version":"2012-10-17"}
        """#

    static let iamFullAccess = #"""
        {"Statement":[{"Action":["iam:*", "organizations:DescribeAccount", "organizations:DescribeOrganization",
        "organizations:DescribeOrganizationalUnit", "organizations:DescribePolicy", "organizations:ListChildren",
        "organizations:ListParents", "organizations:ListPoliciesForTarget", "organizations:ListRoots",
        "organizations:ListPolicies", "organizations:ListTargetsForPolicy"], "Effect":"Allow", "Resource":"*"}],
        "Version":"2012-10-17"}
        """#

    static let iamReadOnlyAccess = #"""
        {"Statement":[{"Action":["iam:GenerateCredentialReport", "iam:GenerateServiceLastAccessedDetails",
        "iam:Get*", "iam:List*", "iam:SimulateCustomPolicy", "iam:SimulatePrincipalPolicy"], "Effect":"Allow",
        "Resource":"*"}], "Version":"2012-10-17"}
        """#

    static let iamUserChangePassword = #"""
        {"Statement":[{"Action":["iam:ChangePassword"], "Effect":"Allow",
        "Resource":["arn:aws:iam::*:user/${aws:username}", "arn:aws:iam::*:user/*/${aws:username}"]},
        {"Action":["iam:GetAccountPasswordPolicy"], "Effect":"Allow", "Resource":"*"}], "Version":"2012-10-17"}
        """#

    static let amazonS3FullAccess = #"""
        {"Statement":[{"Action":["s3:*", "s3-object-lambda:*"], "Effect":"Allow", "Resource":"*"}],
        "Version":"2012-10-17"}
        """#

    static let amazonS3ReadOnlyAccess = #"""
        {"Statement":[{"Action":["s3:Get*", "s3:List*", "s3:Describe*", "s3-object-lambda:Get*",
        "s3-object-lambda:List*"], "Effect":"Allow", "Resource":"*"}], "Version":"2012-10-17"}
        """#

    static let amazonSNSFullAccess = #"""
        {"Statement":[{"Action":"sns:*", "Effect":"Allow", "Resource":"*", "Sid":"SNSFullAccess"},
        {"Action":["sms-voice:DescribeVerifiedDestinationNumbers", "sms-voice:CreateVerifiedDestinationNumber",
        "sms-voice:SendDestinationNumberVerificationCode", "sms-voice:SendTextMessage",
        "sms-voice:DeleteVerifiedDestinationNumber", "sms-voice:VerifyDestinationNumber",
        "sms-voice:DescribeAccountAttributes", "sms-voice:DescribeSpendLimits", "sms-voice:DescribePhoneNumbers",
        "sms-voice:SetTextMessageSpendLimitOverride", "sms-voice:DescribeOptedOutNumbers",
        "sms-voice:DeleteOptedOutNumber"], "Condition":{"StringEquals":{"aws:CalledViaLast":"sns.amazonaws.com"}},
        "Effect":"Allow", "Resource":"*", "Sid":"SMSAccessViaSNS"}], "Version":"2012-10-17"}
        """#

    static let amazonSNSReadOnlyAccess = #"""
        {"Statement":[{"Action":["sns:GetTopicAttributes", "sns:List*", "sns:CheckIfPhoneNumberIsOptedOut",
        "sns:GetEndpointAttributes", "sns:GetDataProtectionPolicy", "sns:GetPlatformApplicationAttributes",
        "sns:GetSMSAttributes", "sns:GetSMSSandboxAccountStatus", "sns:GetSubscriptionAttributes"],
        "Effect":"Allow", "Resource":"*", "Sid":"SNSReadOnlyAccess"},
        {"Action":["sms-voice:DescribeVerifiedDestinationNumbers", "sms-voice:DescribeAccountAttributes",
        "sms-voice:DescribeSpendLimits", "sms-voice:DescribePhoneNumbers", "sms-voice:DescribeOptedOutNumbers"],
        "Condition":{"StringEquals":{"aws:CalledViaLast":"sns.amazonaws.com"}}, "Effect":"Allow", "Resource":"*",
        "Sid":"SMSAccessViaSNS"}], "Version":"2012-10-17"}
        """#

    static let amazonSQSFullAccess = #"""
        {"Statement":[{"Action":["sqs:*"], "Effect":"Allow", "Resource":"*"}], "Version":"2012-10-17"}
        """#

    static let amazonSQSReadOnlyAccess = #"""
        {"Statement":[{"Action":["sqs:GetQueueAttributes", "sqs:GetQueueUrl", "sqs:ListDeadLetterSourceQueues",
        "sqs:ListQueues", "sqs:ListMessageMoveTasks", "sqs:ListQueueTags"], "Effect":"Allow", "Resource":"*",
        "Sid":"AmazonSQSReadOnlyAccess"}], "Version":"2012-10-17"}
        """#

    static let cloudWatchFullAccess = #"""
        {"Statement":[{"Action":["autoscaling:Describe*", "cloudwatch:*", "logs:*", "sns:*", "iam:GetPolicy",
        "iam:GetPolicyVersion", "iam:GetRole", "oam:ListSinks"], "Effect":"Allow", "Resource":"*"},
        {"Action":"iam:CreateServiceLinkedRole",
        "Condition":{"StringLike":{"iam:AWSServiceName":"events.amazonaws.com"}}, "Effect":"Allow",
        "Resource":"arn:aws:iam::*:role/aws-service-role/events.amazonaws.com/AWSServiceRoleForCloudWatchEvents*"},
        {"Action":["oam:ListAttachedLinks"], "Effect":"Allow", "Resource":"arn:aws:oam:*:*:sink/*"}],
        "Version":"2012-10-17"}
        """#

    static let cloudWatchFullAccessV2 = #"""
        {"Statement":[{"Action":["application-autoscaling:DescribeScalingPolicies", "application-signals:*",
        "autoscaling:DescribeAutoScalingGroups", "autoscaling:DescribePolicies", "cloudwatch:*", "logs:*",
        "sns:CreateTopic", "sns:ListSubscriptions", "sns:ListSubscriptionsByTopic", "sns:ListTopics",
        "sns:Subscribe", "iam:GetPolicy", "iam:GetPolicyVersion", "iam:GetRole", "oam:ListSinks",
        "observabilityadmin:GetCentralizationRuleForOrganization",
        "observabilityadmin:ListCentralizationRulesForOrganization",
        "observabilityadmin:CreateCentralizationRuleForOrganization",
        "observabilityadmin:UpdateCentralizationRuleForOrganization",
        "observabilityadmin:DeleteCentralizationRuleForOrganization",
        "observabilityadmin:StartTelemetryEvaluation", "observabilityadmin:GetTelemetryEvaluationStatus",
        "observabilityadmin:ListResourceTelemetry", "observabilityadmin:StopTelemetryEvaluation",
        "observabilityadmin:StartTelemetryEvaluationForOrganization",
        "observabilityadmin:GetTelemetryEvaluationStatusForOrganization",
        "observabilityadmin:ListResourceTelemetryForOrganization",
        "observabilityadmin:StopTelemetryEvaluationForOrganization", "observabilityadmin:CreateTelemetryRule",
        "observabilityadmin:GetTelemetryRule", "observabilityadmin:ListTelemetryRules",
        "observabilityadmin:UpdateTelemetryRule", "observabilityadmin:DeleteTelemetryRule",
        "observabilityadmin:CreateTelemetryRuleForOrganization",
        "observabilityadmin:GetTelemetryRuleForOrganization",
        "observabilityadmin:ListTelemetryRulesForOrganization",
        "observabilityadmin:UpdateTelemetryRuleForOrganization",
        "observabilityadmin:DeleteTelemetryRuleForOrganization", "observabilityadmin:GetTelemetryEnrichmentStatus",
        "observabilityadmin:StartTelemetryEnrichment", "observabilityadmin:StopTelemetryEnrichment",
        "observabilityadmin:TagResource", "observabilityadmin:UntagResource",
        "observabilityadmin:ListTagsForResource", "observabilityadmin:CreateTelemetryPipeline",
        "observabilityadmin:GetTelemetryPipeline", "observabilityadmin:UpdateTelemetryPipeline",
        "observabilityadmin:DeleteTelemetryPipeline", "observabilityadmin:ListTelemetryPipelines",
        "observabilityadmin:TestTelemetryPipeline", "observabilityadmin:ValidateTelemetryPipelineConfiguration",
        "observabilityadmin:CreateS3TableIntegration", "observabilityadmin:GetS3TableIntegration",
        "observabilityadmin:ListS3TableIntegrations", "observabilityadmin:DeleteS3TableIntegration", "rum:*",
        "synthetics:*", "xray:*"], "Effect":"Allow", "Resource":"*", "Sid":"CloudWatchFullAccessPermissions"},
        {"Action":"iam:CreateServiceLinkedRole",
        "Condition":{"StringLike":{"iam:AWSServiceName":"application-signals.cloudwatch.amazonaws.com"}},
        "Effect":"Allow",
        "Resource":"arn:aws:iam::*:role/aws-service-role/application-signals.cloudwatch.amazonaws.com/AWSServiceRoleForCloudWatchApplicationSignals",
        "Sid":"CloudWatchApplicationSignalsServiceLinkedRolePermissions"}, {"Action":"iam:CreateServiceLinkedRole",
        "Condition":{"StringLike":{"iam:AWSServiceName":"events.amazonaws.com"}}, "Effect":"Allow",
        "Resource":"arn:aws:iam::*:role/aws-service-role/events.amazonaws.com/AWSServiceRoleForCloudWatchEvents*",
        "Sid":"EventsServicePermissions"}, {"Action":["oam:ListAttachedLinks"], "Effect":"Allow",
        "Resource":"arn:aws:oam:*:*:sink/*", "Sid":"OAMReadPermissions"},
        {"Action":["cloudtrail:CreateServiceLinkedChannel", "cloudtrail:GetChannel"], "Effect":"Allow",
        "Resource":"arn:aws:cloudtrail:*:*:channel/aws-service-channel/application-signals/*",
        "Sid":"CloudWatchCloudTrailPermissions"}, {"Action":["cloudtrail:ListChannels"], "Effect":"Allow",
        "Resource":"*", "Sid":"CloudWatchApplicationSignalsCloudTrailListPermissions"},
        {"Action":["servicequotas:GetServiceQuota"], "Effect":"Allow",
        "Resource":["arn:aws:servicequotas:*:*:s3/*", "arn:aws:servicequotas:*:*:dynamodb/*",
        "arn:aws:servicequotas:*:*:kinesis/*", "arn:aws:servicequotas:*:*:sns/*",
        "arn:aws:servicequotas:*:*:bedrock/*", "arn:aws:servicequotas:*:*:lambda/*",
        "arn:aws:servicequotas:*:*:fargate/*", "arn:aws:servicequotas:*:*:elasticloadbalancing/*",
        "arn:aws:servicequotas:*:*:ec2/*"], "Sid":"CloudWatchServiceQuotaPermissions"},
        {"Action":["resource-explorer-2:ListIndexes", "resource-explorer-2:Search"], "Effect":"Allow",
        "Resource":["arn:aws:resource-explorer-2:*::view/AWSServiceViewForApplicationSignals/service-view",
        "arn:aws:resource-explorer-2:*::view/AWSServiceViewForApplicationSignalsOrgScopeProd/service-view"],
        "Sid":"CloudWatchResourceExplorerPermissions"}, {"Action":["iam:CreateServiceLinkedRole"],
        "Condition":{"StringEquals":{"iam:AWSServiceName":["resource-explorer-2.amazonaws.com"]}},
        "Effect":"Allow",
        "Resource":"arn:aws:iam::*:role/aws-service-role/resource-explorer-2.amazonaws.com/AWSServiceRoleForResourceExplorer",
        "Sid":"CloudWatchResourceExplorerSLRPermissions"}, {"Action":["resource-explorer-2:CreateIndex"],
        "Effect":"Allow", "Resource":"arn:aws:resource-explorer-2:*:*:index/*",
        "Sid":"CloudWatchResourceExplorerCreateIndexPermissions"}, {"Action":"iam:PassRole",
        "Condition":{"ArnLike":{"iam:AssociatedResourceArn":"arn:aws:observabilityadmin:*:*:s3tableintegration/*"},
        "StringEquals":{"iam:PassedToService":"logs.amazonaws.com"}}, "Effect":"Allow", "Resource":"*"},
        {"Action":"iam:PassRole",
        "Condition":{"ArnLike":{"iam:AssociatedResourceArn":"arn:aws:observabilityadmin:*:*:telemetry-pipeline/*"},
        "StringEquals":{"iam:PassedToService":["logs.amazonaws.com",
        "telemetry-pipelines.observabilityadmin.amazonaws.com"]}}, "Effect":"Allow", "Resource":"*"},
        {"Action":["s3tables:CreateTableBucket", "s3tables:PutTableBucketEncryption"],
        "Condition":{"ForAnyValue:StringEquals":{"aws:CalledVia":"observabilityadmin.amazonaws.com"}},
        "Effect":"Allow", "Resource":"arn:aws:s3tables:*:*:bucket/aws-cloudwatch"},
        {"Action":["s3tables:PutTableBucketPolicy"], "Effect":"Allow",
        "Resource":"arn:aws:s3tables:*:*:bucket/aws-cloudwatch"}], "Version":"2012-10-17"}
        """#

    static let cloudWatchReadOnlyAccess = #"""
        {"Statement":[{"Action":["application-autoscaling:DescribeScalingPolicies",
        "application-signals:BatchGet*", "application-signals:Get*", "application-signals:List*",
        "autoscaling:Describe*", "cloudtrail:ListChannels", "cloudwatch:BatchGet*", "cloudwatch:Describe*",
        "cloudwatch:GenerateQuery", "cloudwatch:Get*", "cloudwatch:List*", "logs:Get*", "logs:List*",
        "logs:StartQuery", "logs:StopQuery", "logs:Describe*", "logs:TestMetricFilter", "logs:FilterLogEvents",
        "logs:StartLiveTail", "logs:StopLiveTail", "oam:ListSinks",
        "observabilityadmin:GetCentralizationRuleForOrganization",
        "observabilityadmin:ListCentralizationRulesForOrganization",
        "observabilityadmin:GetTelemetryEvaluationStatus",
        "observabilityadmin:GetTelemetryEvaluationStatusForOrganization", "observabilityadmin:GetTelemetryRule",
        "observabilityadmin:GetTelemetryRuleForOrganization", "observabilityadmin:ListResourceTelemetry",
        "observabilityadmin:ListResourceTelemetryForOrganization", "observabilityadmin:ListTelemetryRules",
        "observabilityadmin:ListTelemetryRulesForOrganization", "observabilityadmin:GetTelemetryEnrichmentStatus",
        "observabilityadmin:ListTagsForResource", "observabilityadmin:GetTelemetryPipeline",
        "observabilityadmin:ListTelemetryPipelines", "observabilityadmin:TestTelemetryPipeline",
        "observabilityadmin:ValidateTelemetryPipelineConfiguration", "observabilityadmin:GetS3TableIntegration",
        "observabilityadmin:ListS3TableIntegrations", "sns:Get*", "sns:List*", "rum:BatchGet*", "rum:Get*",
        "rum:List*", "synthetics:Describe*", "synthetics:Get*", "synthetics:List*", "xray:BatchGet*", "xray:Get*",
        "xray:List*", "xray:StartTraceRetrieval", "xray:CancelTraceRetrieval"], "Effect":"Allow", "Resource":"*",
        "Sid":"CloudWatchReadOnlyAccessPermissions"}, {"Action":["oam:ListAttachedLinks"], "Effect":"Allow",
        "Resource":"arn:aws:oam:*:*:sink/*", "Sid":"OAMReadPermissions"}, {"Action":"iam:GetRole",
        "Effect":"Allow",
        "Resource":"arn:aws:iam::*:role/aws-service-role/application-signals.cloudwatch.amazonaws.com/AWSServiceRoleForCloudWatchApplicationSignals",
        "Sid":"CloudWatchReadOnlyGetRolePermissions"}, {"Action":["cloudtrail:GetChannel"], "Effect":"Allow",
        "Resource":"arn:aws:cloudtrail:*:*:channel/aws-service-channel/application-signals/*",
        "Sid":"CloudWatchCloudTrailPermissions"}, {"Action":["servicequotas:GetServiceQuota"], "Effect":"Allow",
        "Resource":["arn:aws:servicequotas:*:*:s3/*", "arn:aws:servicequotas:*:*:dynamodb/*",
        "arn:aws:servicequotas:*:*:kinesis/*", "arn:aws:servicequotas:*:*:sns/*",
        "arn:aws:servicequotas:*:*:bedrock/*", "arn:aws:servicequotas:*:*:lambda/*",
        "arn:aws:servicequotas:*:*:fargate/*", "arn:aws:servicequotas:*:*:elasticloadbalancing/*",
        "arn:aws:servicequotas:*:*:ec2/*"], "Sid":"CloudWatchServiceQuotaPermissions"},
        {"Action":["resource-explorer-2:ListIndexes", "resource-explorer-2:Search"], "Effect":"Allow",
        "Resource":["arn:aws:resource-explorer-2:*::view/AWSServiceViewForApplicationSignals/service-view",
        "arn:aws:resource-explorer-2:*::view/AWSServiceViewForApplicationSignalsOrgScopeProd/service-view"],
        "Sid":"CloudWatchResourceExplorerPermissions"}], "Version":"2012-10-17"}
        """#

    static let cloudWatchLogsFullAccess = #"""
        {"Statement":[{"Action":["logs:*", "cloudwatch:GenerateQuery", "cloudwatch:GenerateQueryResultsSummary",
        "observabilityadmin:GetS3TableIntegration", "observabilityadmin:ListS3TableIntegrations",
        "observabilityadmin:ListTelemetryPipelines"], "Effect":"Allow", "Resource":"*",
        "Sid":"CloudWatchLogsFullAccess"}], "Version":"2012-10-17"}
        """#

    static let cloudWatchLogsReadOnlyAccess = #"""
        {"Statement":[{"Action":["logs:Describe*", "logs:Get*", "logs:List*", "logs:StartQuery", "logs:StopQuery",
        "logs:TestMetricFilter", "logs:FilterLogEvents", "logs:StartLiveTail", "logs:StopLiveTail",
        "cloudwatch:GenerateQuery", "cloudwatch:GenerateQueryResultsSummary",
        "observabilityadmin:ListS3TableIntegrations", "observabilityadmin:GetS3TableIntegration",
        "observabilityadmin:ListTelemetryPipelines"], "Effect":"Allow", "Resource":"*",
        "Sid":"CloudWatchLogsReadOnlyAccess"}], "Version":"2012-10-17"}
        """#

    static let cloudTrailFullAccessOld = #"""
        {"Version":"2012-10-17", "Statement":[{"Effect":"Allow", "Action":["sns:AddPermission", "sns:CreateTopic",
        "sns:DeleteTopic", "sns:ListTopics", "sns:SetTopicAttributes", "sns:GetTopicAttributes"], "Resource":"*"},
        {"Effect":"Allow", "Action":["s3:CreateBucket", "s3:DeleteBucket", "s3:ListAllMyBuckets",
        "s3:PutBucketPolicy", "s3:ListBucket", "s3:GetObject", "s3:GetBucketLocation", "s3:GetBucketPolicy"],
        "Resource":"*"}, {"Effect":"Allow", "Action":"cloudtrail:*", "Resource":"*"}, {"Effect":"Allow",
        "Action":["logs:CreateLogGroup"], "Resource":"*"}, {"Effect":"Allow", "Action":["iam:ListRoles",
        "iam:GetRolePolicy", "iam:GetUser"], "Resource":"*"}, {"Effect":"Allow", "Action":["iam:PassRole"],
        "Resource":"*", "Condition":{"StringEquals":{"iam:PassedToService":"cloudtrail.amazonaws.com"}}},
        {"Effect":"Allow", "Action":["kms:ListKeys", "kms:ListAliases"], "Resource":"*"}, {"Effect":"Allow",
        "Action":["lambda:ListFunctions"], "Resource":"*"}]}
        """#

    static let cloudTrailReadOnlyAccessOld = #"""
        {"Version":"2012-10-17", "Statement":[{"Effect":"Allow", "Action":["s3:GetObject", "s3:GetBucketLocation"],
        "Resource":"*"}, {"Effect":"Allow", "Action":["cloudtrail:GetTrail", "cloudtrail:GetTrailStatus",
        "cloudtrail:DescribeTrails", "cloudtrail:ListTrails", "cloudtrail:LookupEvents", "cloudtrail:ListTags",
        "cloudtrail:ListPublicKeys", "cloudtrail:GetEventSelectors", "cloudtrail:GetInsightSelectors",
        "s3:ListAllMyBuckets", "kms:ListAliases", "lambda:ListFunctions"], "Resource":"*"}]}
        """#
}
