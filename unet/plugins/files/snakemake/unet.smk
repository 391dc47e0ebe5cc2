# Nuclei by unet @VERSION@. Include it in a Snakefile:
#
#   include: "unet.smk"
#   rule all:
#       input: expand("nuclei/{sample}/{sample}.labels.tif", sample=["a", "b"])
#
# and put the images into images/ as TIFF. The program unet must be on the path.
rule unet:
    input:
        "images/{sample}.tif",
    output:
        labels="nuclei/{sample}/{sample}.labels.tif",
        nuclei="nuclei/{sample}/{sample}.nuclei.csv",
        summary="nuclei/{sample}/summary.csv",
    params:
        extra=config.get("unet", ""),
    log:
        "logs/unet/{sample}.log",
    threads: 2
    shell:
        "unet predict {input:q} --out nuclei/{wildcards.sample:q} --format labels,csv"
        " --threads {threads} --quiet {params.extra} > {log:q} 2>&1"
