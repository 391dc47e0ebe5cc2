/*
 * Nuclei by unet @VERSION@ in QuPath: the selected annotations, or the whole
 * image, become detections with measurements.
 *
 * Drag this file onto QuPath's window, set the two values below, and run it (or
 * Run for project). The program runs on this computer and needs no network.
 */
import qupath.lib.io.PathIO
import qupath.lib.objects.PathObjects
import qupath.lib.regions.RegionRequest
import qupath.lib.roi.interfaces.ROI
import java.awt.geom.AffineTransform
import java.nio.file.Files
import static qupath.lib.scripting.QP.*

def program = 'unet'        // or the whole path of the program
def pixelSize = 0.5         // of the image that is segmented, in micrometres; 0: full resolution

def data = getCurrentImageData()
def server = data.getServer()
def calibration = server.getPixelCalibration()
def downsample = 1.0
if (pixelSize > 0 && calibration.hasPixelSizeMicrons())
    downsample = Math.max(1.0, pixelSize / calibration.getAveragedPixelSizeMicrons())

def parents = getSelectedObjects().findAll { it.isAnnotation() && it.hasROI() }
if (parents.isEmpty())
    parents = [null]
def folder = Files.createTempDirectory('unet').toFile()
try {
    parents.eachWithIndex { parent, i ->
        def roi = parent?.getROI()
        def request = roi == null ? RegionRequest.createInstance(server, downsample)
                                  : RegionRequest.createInstance(server.getPath(), downsample, roi)
        def image = new File(folder, "region${i}.tif")
        writeImageRegion(server, request, image.getPath())
        def command = [program, 'predict', image.getPath(), '--out', folder.getPath(), '--format', 'geojson', '--quiet']
        if (calibration.hasPixelSizeMicrons())
            command += ['--pixel-size', String.format(Locale.ROOT, '%.6f', calibration.getAveragedPixelSizeMicrons() * downsample)]
        def process = new ProcessBuilder(command).redirectErrorStream(true).start()
        def said = process.getInputStream().getText()
        if (process.waitFor() != 0)
            throw new RuntimeException("unet failed: ${said}")

        // The file counts pixels of the region: back to those of the image.
        def place = new AffineTransform()
        place.translate(request.getX(), request.getY())
        place.scale(request.getDownsample(), request.getDownsample())
        def nuclei = PathIO.readObjects(new File(folder, "region${i}.geojson"))
                .collect { transformObject(it, place, true) }
                .findAll { roi == null || roi.contains(it.getROI().getCentroidX(), it.getROI().getCentroidY()) }
        if (parent == null) {
            clearDetections() // not before: unet may have failed
            addObjects(nuclei)
        } else {
            parent.clearChildObjects()
            parent.addChildObjects(nuclei)
            parent.setLocked(true)
        }
        println "unet: ${nuclei.size()} nuclei"
    }
} finally {
    folder.deleteDir()
}
fireHierarchyUpdate()
