# The package in a Debian of its own (debootstrap), as an operator meets it: it is
# installed, what its man page shows sends a message, it is upgraded while nginx
# runs, and removed.  As root; `make deb-test` builds the package first.

use Chatmaid::Test;
use IO::Socket::INET;
use Mojo::File qw(curfile path);

my $top     = curfile->dirname->dirname->dirname;
my $package = 'libnginx-mod-http-chatmaid';
my ($deb)   = glob "$top/build/${package}_*.deb";
my $root    = path(dir, 'debian');
my $etc     = $root->child('etc/nginx');

ok($deb, 'there is a package') or BAIL_OUT('make deb');

my $log = path(dir, 'debootstrap.log');
my @needs = qw(nginx ca-certificates libhiredis0.14 libjansson4 libssl3 perl);
is(system("debootstrap --variant=minbase --include=" . join(',', @needs) . " bookworm $root > $log 2>&1"), 0, 'a Debian of its own')
    or BAIL_OUT($log->slurp);
$root->child('usr/sbin/policy-rc.d')->spew("#!/bin/sh\nexit 101\n")->chmod(0755);    # services are started here by us
$etc->child('sites-enabled/default')->remove;                                         # port 80

# What it says, if it does well.
sub in_debian (@command) {
    my $pid = open(my $out, '-|') // die "fork: $!";
    if (!$pid) {
        delete $ENV{NGINX};                 # to nginx, sockets that it inherits
        open STDERR, '>&', \*STDOUT;
        exec 'chroot', $root, @command or POSIX::_exit(127);
    }
    my $said = join '', <$out>;
    close $out;
    is($?, 0, "@command") or diag($said);
    return $said;
}

# All that dpkg, apt and nginx themselves don't write to as they run.
sub files () {
    my @files = $root->list_tree({dir => 1, hidden => 1})->map(to_rel => $root)->each;
    return [sort grep { !m{^(?:proc|sys|dev|tmp|run|var/(?:log|cache|lib))/} } @files];
}

my $before = files();


# --- Installed ---------------------------------------------------------------

sub install ($file) {
    path($file)->copy_to($root->child('tmp/package.deb'));
    return in_debian(qw(dpkg -i /tmp/package.deb));
}

install($deb);
is(readlink $etc->child('modules-enabled/50-mod-http-chatmaid.conf'), '/usr/share/nginx/modules-available/mod-http-chatmaid.conf', 'it loads itself');
is((stat $etc->child('chatmaid'))[2] & 07777, 0700, "the keys' directory is root's alone");
ok(-e $root->child("usr/share/$_"), $_)
    for "doc/$package/examples/conf.example", "doc/$package/README.md", 'man/man5/ngx_http_chatmaid_module.5.gz', 'man/man1/chatmaid.1.gz';
in_debian(qw(nginx -t));

my $doc = "/usr/share/doc/$package";
for my $page (path("$root$doc")->list_tree->grep(qr/\.md\z/)->each) {
    my $text = $page->slurp =~ s/^```.*?^```$//gmsr =~ s/`[^`\n]*`//gr;
    my @gone = grep { !/^https?:/ && !-e $page->dirname->child($_) } $text =~ /\]\(([^)#\s]+)(?:#[^)]*)?\)/g;
    is("@gone", '', $page->to_rel("$root$doc") . ': what it links to is in the package');
}


# --- What the man page shows ---------------------------------------------------

my $api     = sandbox;
my ($conf)  = $top->child('debian/ngx_http_chatmaid_module.5')->slurp =~ /^\.Bd.*?\n(chatmaid_zone.*?)^\.Ed/ms;
my $address = '127.0.0.1:' . port('gateway');
my $chatmaid = '127.0.0.1:' . $api->port;
is($conf =~ s/127\.0\.0\.1:8080/$address/, 1, 'the man page has a configuration');
$conf =~ s/developers-api\.chatmaid\.net:443/$chatmaid/;
$conf =~ s/\+15551234567/+15550100001/;

$etc->child('conf.d/chatmaid.conf')->spew($conf);
$etc->child('chatmaid/api_key')->spew(test_key . "\n")->chmod(0600);

# As an operator makes an authority of his own known.
my $authorities = $root->child('etc/ssl/certs/ca-certificates.crt');
$authorities->spew($authorities->slurp . slurp(certificates->crt('ca')));
in_debian(qw(nginx -t));

my $nginx = process('packaged', command => ['chroot', $root, 'nginx', '-g', 'daemon off;'], signal => 'QUIT');
wait_for(sub { IO::Socket::INET->new($address) }, 'nginx to listen');

my $client = client(base => "http://$address/chatmaid");
is($client->post('/send', message, 'Idempotency-Key' => 'k1')->{status}, 201, 'a send');
is($api->made, 1, 'arrives');


# --- Upgraded, removed ---------------------------------------------------------

my $next = path(dir, 'next');
is(system('dpkg-deb', '-R', $deb, $next), 0, 'taken apart');
my $control = $next->child('DEBIAN/control');
$control->spew($control->slurp =~ s/^Version: \S+\K/+next/mr);
is(system("dpkg-deb -b $next $next.deb > /dev/null"), 0, 'and made a newer one');

install("$next.deb");
like(in_debian('dpkg-query', '-W', $package), qr/\+next$/, 'upgraded');
is($client->post('/send', message)->{status}, 201, 'the nginx that runs sends on');
ok($nginx->stop, 'and ends well');
in_debian(qw(nginx -t));

in_debian('dpkg', '-P', $package);
ok(-e $etc->child('chatmaid/api_key'), "the operator's key stays");
$etc->child($_)->remove_tree for qw(chatmaid conf.d/chatmaid.conf);
in_debian(qw(nginx -t));
is_deeply(files(), $before, 'and nothing else');

done;
