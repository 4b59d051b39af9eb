// What Grafana's board may say, by the types that Grafana publishes of its boards, panels and queries. `grafana` puts the
// board itself below, as the value of a Board: then a name or a word that Grafana does not know is an error of a type.
import type { Dashboard, FieldConfig, Panel } from "@grafana/grafana-foundation-sdk/dashboard"
import type * as gauge from "@grafana/grafana-foundation-sdk/gauge"
import type { Dataquery } from "@grafana/grafana-foundation-sdk/prometheus"
import type * as stat from "@grafana/grafana-foundation-sdk/stat"
import type * as timeseries from "@grafana/grafana-foundation-sdk/timeseries"

// As it is written in JSON: what has a default may be left out, and a word stands for a member of an enumeration.
type Written<T> = 0 extends 1 & T
    ? T
    : T extends string
      ? `${T}`
      : T extends (infer Item)[]
        ? Written<Item>[]
        : T extends object
          ? { [Name in keyof T]?: Written<T[Name]> }
          : T

// A panel, whose options go by its type, and which asks Prometheus.
type Of<Type, Options, Custom = never> = Omit<Written<Panel>, "type" | "targets" | "options" | "fieldConfig"> & {
    type: Type
    targets: (Written<Dataquery> & { expr: string; refId: string })[]
    options: Written<Options>
    fieldConfig: { defaults: Omit<Written<FieldConfig>, "custom"> & { custom?: Written<Custom> }; overrides: [] }
}

export type Board = Omit<Written<Dashboard>, "panels"> & {
    schemaVersion: number
    panels: (Of<"gauge", gauge.Options> | Of<"stat", stat.Options> | Of<"timeseries", timeseries.Options, timeseries.FieldConfig>)[]
}
