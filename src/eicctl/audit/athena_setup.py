"""The statements that create a table over a trail's log files: database, table with projected partitions, partitions.

The form is that of AWS's documentation for CloudTrail logs with partition projection. Of a record's fields, the table
has those that `athena_sql.COLUMNS` reads, and others that are useful in queries of one's own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from eicctl.audit.athena_sql import Logs, Table
from eicctl.core.errors import UsageError

FIRST_DAY = "2013/11/01"
"""The first day of the projection: CloudTrail did not exist before. A range that begins later would hide log files."""

REGION = r"[a-z]{2,8}(?:-[a-z]+)+-[0-9]{1,2}"
"""The form of a region."""

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_ORGANIZATION = re.compile(r"o-[a-z0-9]{10,32}")
_SAFE = re.compile(r"[\w!.()*/-]*", re.ASCII)
_COLUMNS = """  eventversion string,
  useridentity struct<
    type: string,
    principalid: string,
    arn: string,
    accountid: string,
    invokedby: string,
    accesskeyid: string,
    username: string,
    sessioncontext: struct<
      attributes: struct<mfaauthenticated: string, creationdate: string>,
      sessionissuer: struct<type: string, principalid: string, arn: string, accountid: string, username: string>
    >
  >,
  eventtime string,
  eventsource string,
  eventname string,
  awsregion string,
  sourceipaddress string,
  useragent string,
  errorcode string,
  errormessage string,
  requestparameters string,
  responseelements string,
  additionaleventdata string,
  requestid string,
  eventid string,
  readonly string,
  resources array<struct<arn: string, accountid: string, type: string>>,
  eventtype string,
  recipientaccountid string,
  sharedeventid string,
  vpcendpointid string"""


@dataclass(frozen=True, slots=True)
class Location:
    """Where a trail delivers: below `prefix`, which ends with a slash, are folders of accounts."""

    bucket: str
    prefix: str

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}"

    @property
    def organization(self) -> bool:
        """Whether it is that of an organization's trail."""
        return bool(_ORGANIZATION.fullmatch(self.prefix.rstrip("/").rpartition("/")[2]))

    def of_organization(self, organization: str) -> Location:
        """Return the location of an organization's trail in this bucket."""
        return Location(self.bucket, f"{self.prefix}{organization}/")


def parse_location(text: str) -> Location:
    """Return the location of the log files in `s3://BUCKET/PREFIX`, whether or not the prefix has `AWSLogs`.

    Folders below those of accounts (`123456789012/CloudTrail/…`) are omitted.

    Raises:
        UsageError: The text is not such a location.
    """
    bucket, _, prefix = text.removeprefix("s3://").partition("/")
    if not text.startswith("s3://") or not _BUCKET.fullmatch(bucket) or not _SAFE.fullmatch(prefix):
        raise UsageError(f"Invalid location {text!r}", hint="use s3://BUCKET/PREFIX, the trail's bucket and prefix")
    parts = [part for part in prefix.split("/") if part]
    if "AWSLogs" not in parts:
        parts.append("AWSLogs")
    end = parts.index("AWSLogs") + 1
    if _ORGANIZATION.fullmatch("".join(parts[end : end + 1])):
        end += 1
    return Location(bucket, "/".join(parts[:end]) + "/")


def organizations_in(folders: Iterable[str]) -> list[str]:
    """Return the organization IDs in a list of folders."""
    return [name for name in folders if _ORGANIZATION.fullmatch(name)]


def accounts_in(folders: Iterable[str]) -> list[str]:
    """Return the account IDs in a list of folders."""
    return [name for name in folders if re.fullmatch(r"\d{12}", name, re.ASCII)]


def regions_in(folders: Iterable[str]) -> list[str]:
    """Return the regions in a list of folders."""
    return [name for name in folders if re.fullmatch(REGION, name)]


_TEMPLATE = "${account}/CloudTrail/${region}/${day}"


def location_of(properties: Mapping[str, str]) -> Location | None:
    """Return where the log files of a table of `statements` are, by its properties; None for another table."""
    template = properties.get("storage.location.template", "")
    bucket, _, prefix = template.removeprefix("s3://").removesuffix(_TEMPLATE).partition("/")
    return Location(bucket, prefix) if template.endswith(_TEMPLATE) and bucket else None


def statements(location: Location, table: Table, logs: Logs) -> list[str]:
    """Return the statements, in order. Running them again only changes which accounts and regions the table has."""
    name = f"`{table.database}`.`{table.name}`"
    projected = {
        "projection.account.values": ",".join(logs.accounts),
        "projection.region.values": ",".join(logs.regions),
    }
    properties = {
        "projection.enabled": "true",
        "projection.account.type": "enum",
        "projection.region.type": "enum",
        **projected,
        "projection.day.type": "date",
        "projection.day.format": "yyyy/MM/dd",
        "projection.day.range": f"{FIRST_DAY},NOW",
        "projection.day.interval": "1",
        "projection.day.interval.unit": "DAYS",
        "storage.location.template": f"{location}{_TEMPLATE}",
    }
    return [
        f"CREATE DATABASE IF NOT EXISTS `{table.database}`",
        f"CREATE EXTERNAL TABLE IF NOT EXISTS {name} (\n{_COLUMNS}\n)\n"
        "PARTITIONED BY (`account` string, `region` string, `day` string)\n"
        "ROW FORMAT SERDE 'org.apache.hive.hcatalog.data.JsonSerDe'\n"
        "STORED AS INPUTFORMAT 'com.amazon.emr.cloudtrail.CloudTrailInputFormat'\n"
        "OUTPUTFORMAT 'org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat'\n"
        f"LOCATION '{location}'\nTBLPROPERTIES (\n{_listed(properties)}\n)",
        f"ALTER TABLE {name} SET TBLPROPERTIES (\n{_listed(projected)}\n)",
    ]


def _listed(properties: dict[str, str]) -> str:
    return ",\n".join(f"  '{name}' = '{value}'" for name, value in properties.items())
