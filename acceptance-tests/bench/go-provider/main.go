// The provider that ours is measured against: one resource on terraform-plugin-framework, with the
// attributes of integraci_tenant, written as that framework's documentation would have it. It
// plans, and creates nothing anywhere.
package main

import (
	"context"
	"log"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/provider"
	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/booldefault"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/objectplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/planmodifier"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema/stringplanmodifier"
	"github.com/hashicorp/terraform-plugin-framework/types"
)

func main() {
	opts := providerserver.ServeOpts{Address: "registry.terraform.io/integraci/baseline", ProtocolVersion: 6}
	if err := providerserver.Serve(context.Background(), func() provider.Provider { return baseline{} }, opts); err != nil {
		log.Fatal(err)
	}
}

type baseline struct{}

func (baseline) Metadata(_ context.Context, _ provider.MetadataRequest, resp *provider.MetadataResponse) {
	resp.TypeName = "baseline"
}

func (baseline) Schema(context.Context, provider.SchemaRequest, *provider.SchemaResponse) {}

func (baseline) Configure(context.Context, provider.ConfigureRequest, *provider.ConfigureResponse) {}

func (baseline) DataSources(context.Context) []func() datasource.DataSource { return nil }

func (baseline) Resources(context.Context) []func() resource.Resource {
	return []func() resource.Resource{func() resource.Resource { return tenant{} }}
}

type tenant struct{}

func (tenant) Metadata(_ context.Context, _ resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = "baseline_tenant"
}

func (tenant) Schema(_ context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	keep := []planmodifier.String{stringplanmodifier.UseStateForUnknown()}
	replace := []planmodifier.String{stringplanmodifier.RequiresReplace()}
	resp.Schema = schema.Schema{
		MarkdownDescription: "A tenant of the platform.",
		Attributes: map[string]schema.Attribute{
			"id":                schema.StringAttribute{Computed: true, MarkdownDescription: "Stable identifier.", PlanModifiers: keep},
			"slug":              schema.StringAttribute{Required: true, MarkdownDescription: "DNS label; never changes.", PlanModifiers: replace},
			"name":              schema.StringAttribute{Required: true, MarkdownDescription: "What people call it."},
			"plan":              schema.StringAttribute{Required: true, MarkdownDescription: "The plan it is on."},
			"owner_email":       schema.StringAttribute{Required: true, MarkdownDescription: "Who answers for it."},
			"labels":            schema.MapAttribute{Optional: true, ElementType: types.StringType, MarkdownDescription: "Free labels."},
			"delete_protection": schema.BoolAttribute{Optional: true, Computed: true, Default: booldefault.StaticBool(true), MarkdownDescription: "Whether destroying it is refused."},
			"suspended":         schema.BoolAttribute{Optional: true, Computed: true, Default: booldefault.StaticBool(false), MarkdownDescription: "Whether it may change nothing."},
			"names": schema.SingleNestedAttribute{Computed: true, MarkdownDescription: "What it is called elsewhere.",
				PlanModifiers: []planmodifier.Object{objectplanmodifier.UseStateForUnknown()}, Attributes: strings(true,
					"openbao_namespace", "keycloak_realm", "nats_account", "nats_subject_prefix", "kubernetes_namespace")},
			"created_at": schema.StringAttribute{Computed: true, MarkdownDescription: "When it was made.", PlanModifiers: keep},
			"timeouts":   schema.SingleNestedAttribute{Optional: true, Attributes: strings(false, "create", "update", "delete")},
		},
	}
}

func strings(computed bool, names ...string) map[string]schema.Attribute {
	attributes := map[string]schema.Attribute{}
	for _, name := range names {
		attributes[name] = schema.StringAttribute{Computed: computed, Optional: !computed, MarkdownDescription: "One of several."}
	}
	return attributes
}

func (tenant) Create(_ context.Context, _ resource.CreateRequest, resp *resource.CreateResponse) {
	resp.Diagnostics.AddError("Cannot create", "This provider is there to be measured while it plans.")
}

func (tenant) Read(context.Context, resource.ReadRequest, *resource.ReadResponse) {}

func (tenant) Update(context.Context, resource.UpdateRequest, *resource.UpdateResponse) {}

func (tenant) Delete(context.Context, resource.DeleteRequest, *resource.DeleteResponse) {}
