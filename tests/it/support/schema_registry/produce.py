"""Produces what stands on stdin, one JSON object a line, with Confluent's serializers and the
CloudEvents SDK.

Arguments: bootstrap servers, topic, JSON with the settings of the registry's client.

{"form": "avro" | "json" | "structured" | "binary" | "binary_avro", "key": ..., "partition": ...,
 "schema": {...}, "references": [{"name": ..., "subject": ..., "schema": {...}}],
 "value": {...}, "attributes": {...}}

A value may hold {"$decimal": "12.50"}, {"$millis": 1795341600000}, {"$bytes": "base64"}.
"""

import base64
import datetime
import decimal
import json
import sys

from cloudevents.core.bindings.kafka import to_binary, to_structured
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from confluent_kafka import Producer
from confluent_kafka.schema_registry import Schema, SchemaReference, SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.schema_registry.json_schema import JSONSerializer
from confluent_kafka.serialization import MessageField, SerializationContext


def native(value):
    if isinstance(value, list):
        return [native(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "$decimal" in value:
        return decimal.Decimal(value["$decimal"])
    if "$millis" in value:
        since = datetime.timedelta(milliseconds=value["$millis"])
        return datetime.datetime.fromtimestamp(0, datetime.timezone.utc) + since
    if "$bytes" in value:
        return base64.b64decode(value["$bytes"])
    return {name: native(inner) for name, inner in value.items()}


class Serializers:
    def __init__(self, settings):
        self.client = SchemaRegistryClient(settings) if settings else None
        self.made = {}

    def serialize(self, line, topic, value):
        # Each event's own type, whatever else is on the topic.
        settings = {"subject.name.strategy": lambda context, name: f"{topic}-{name}"}
        key = json.dumps([line["form"], line["schema"], line.get("references")])
        if key not in self.made:
            self.made[key] = self.serializer(line, settings)
        return self.made[key](value, SerializationContext(topic, MessageField.VALUE))

    def serializer(self, line, settings):
        references = []
        for reference in line.get("references", []):
            text = json.dumps(reference["schema"])
            self.client.register_schema(reference["subject"], Schema(text, "AVRO"))
            references.append(SchemaReference(reference["name"], reference["subject"], 1))
        kind = "JSON" if line["form"] == "json" else "AVRO"
        schema = Schema(json.dumps(line["schema"]), kind, references)
        if kind == "JSON":
            return JSONSerializer(schema, self.client, conf=settings)
        return AvroSerializer(self.client, schema, conf=settings)


def message(line, topic, serializers):
    """Value and headers."""
    form, value = line["form"], native(line.get("value"))
    if form in ("avro", "json"):
        return serializers.serialize(line, topic, value), {}
    attributes = dict(line["attributes"])
    if "time" in attributes:
        attributes["time"] = datetime.datetime.fromisoformat(attributes["time"])
    event = CloudEvent(attributes, value)
    if form == "structured":
        made = to_structured(event, JSONFormat())
        return made.value, made.headers
    made = to_binary(event, JSONFormat())
    if form == "binary":
        return made.value, made.headers
    return serializers.serialize(line, topic, value), made.headers


def main():
    servers, topic, settings = sys.argv[1:]
    serializers = Serializers(json.loads(settings))
    producer = Producer({"bootstrap.servers": servers, "linger.ms": 1})
    failed = []
    for text in sys.stdin:
        line = json.loads(text)
        value, headers = message(line, topic, serializers)
        producer.produce(
            topic,
            value,
            line.get("key"),
            headers=list(headers.items()),
            partition=line.get("partition", -1),
            on_delivery=lambda error, _: failed.append(error) if error else None,
        )
        producer.poll(0)
    left = producer.flush(30)
    if left or failed:
        sys.exit(f"{left} records are not acknowledged: {failed}")


main()
