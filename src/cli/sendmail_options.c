/* The names of sendmail's options, for -O NAME=VALUE: one that sendmail does not have is a mistake
 * of whoever wrote it; what a gateway has no use for is taken in silence. */
#include "cli/sendmail.h"

#include "config/table.h"

#include <stdio.h>
#include <string.h>
#include <sysexits.h>

static const char *const names[] = {
    "AliasFile", "AliasWait", "AllowBogusHELO", "AuthMaxBits", "AuthMechanisms", "AuthOptions",
    "AuthRealm", "BadRcptThrottle", "BlankSub", "CACertFile", "CACertPath", "CRLFile", "CRLPath",
    "CertFingerprintAlgorithm", "CheckAliases", "CheckpointInterval", "CipherList", "ClassFactor",
    "ClientCertFile", "ClientKeyFile", "ClientPortOptions", "ClientSSLOptions", "ColonOkInAddr",
    "CompressIPv6Addresses", "ConnectOnlyTo", "ConnectionCacheSize", "ConnectionCacheTimeout",
    "ConnectionRateThrottle", "ConnectionRateWindowSize", "ControlSocketName",
    "DHParameters", "DaemonPortOptions", "DANE", "DataFileBufferSize", "DeadLetterDrop",
    "DefaultAuthInfo", "DefaultCharSet", "DefaultUser", "DelayLA", "DeliverByMin", "DeliveryMode",
    "DialDelay", "DirectSubmissionModifiers", "DontBlameSendmail", "DontExpandCnames",
    "DontInitGroups", "DontProbeInterfaces", "DontPruneRoutes", "DoubleBounceAddress", "EGDSocket",
    "EightBitMode", "ErrorHeader", "ErrorMode", "FallbackMXhost", "FallbackSmartHost", "FastSplit",
    "ForkEachJob", "ForwardPath", "HeloName", "HelpFile", "HoldExpensive", "HostStatusDirectory",
    "HostsFile", "IgnoreDots", "InputMailFilters", "LDAPDefaultSpec", "LogLevel", "MailboxDatabase",
    "MatchGECOS", "MaxAliasRecursion", "MaxDaemonChildren", "MaxHeadersLength", "MaxHopCount",
    "MaxMessageSize", "MaxMimeHeaderLength", "MaxNOOPCommands", "MaxQueueAge", "MaxQueueChildren",
    "MaxQueueRunSize", "MaxRecipientsPerMessage", "MaxRunnersPerQueue", "MeToo", "Milter",
    "MinFreeBlocks", "MinQueueAge", "MustQuoteChars", "NiceQueueRun", "NoRecipientAction",
    "OldStyleHeaders", "OperatorChars", "PidFile", "PostmasterCopy", "PrivacyOptions",
    "ProcessTitlePrefix", "QueueDirectory", "QueueFactor", "QueueFileMode", "QueueLA",
    "QueueSortOrder", "QueueTimeout", "RandFile", "RecipientFactor", "RefuseLA",
    "RejectLogInterval", "RejectNUL", "RequiresDirfsync", "ResolverOptions", "RetryFactor",
    "RrtImpliesDsn", "RunAsUser",
    "SafeFileEnvironment", "SaveFromLine", "SendMimeErrors", "ServerCertFile", "ServerKeyFile",
    "ServerSSLOptions", "ServiceSwitchFile", "SevenBitInput", "SharedMemoryKey",
    "SharedMemoryKeyFile", "SingleLineFromHeader", "SingleThreadDelivery", "SmtpGreetingMessage",
    "SMTPUTF8", "SoftBounce", "SSLEngine", "SSLEnginePath", "StatusFile", "SuperSafe",
    "TLSFallbacktoClear", "TLSSrvOptions", "TempFileMode", "Timeout", "TimeZoneSpec", "TrustedUser",
    "TryNullMXList", "UnixFromLine", "UnsafeGroupWrites", "UseCompressedIPv6Addresses",
    "UseErrorsTo", "UseMSP", "UserDatabaseSpec", "UserSubmission", "Verbose",
    "XscriptFileBufferSize",
};
enum { NAMES = sizeof names / sizeof *names };

int sendmail_option_known(struct span name)
{
    struct span first = span_to(name, span_find(name, '.')); /* Timeout.queuereturn */
    for (size_t i = 0; i < NAMES; i++)
        if (span_ieq(first, span_str(names[i])))
            return EX_OK;
    const char *meant = config_suggest_among(names, NAMES, first);
    fprintf(stderr, "readcf: unknown option name %.*s%s%s%s\n", SPAN_ARG(name),
            meant ? "; did you mean \"" : "", meant ? meant : "", meant ? "\"?" : "");
    return EX_SOFTWARE;
}
